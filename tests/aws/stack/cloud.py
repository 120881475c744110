"""An AWS account for deployments: moto's services, and `formation` as its CloudFormation."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.handlers import BUILTIN_HANDLERS, REGISTER_FIRST
from moto import mock_aws
from tests.aws.fakes.model import list_faults, load_operation
from tests.aws.stack.formation import KEYS, Formation
from tests.aws.stack.stack_state import ID, Refusal, make_refusal

from dockgate.aws.stack.account import Account
from dockgate.aws.stack.cloudformation import Patience

SOON = Patience(seconds=0, times=20)


@dataclass
class Cloud:
    """`account` is what the commands get; `get_client` makes unrecorded clients for tests."""

    formation: Formation
    account: Account

    def get_client(self, name: str) -> Any:
        return _get_shared_client(name)

    def list_operations(self) -> set[str]:
        return {name for _, name, _ in self.formation.called}


@contextmanager
def run_cloud() -> Iterator[Cloud]:
    with mock_aws(), ExitStack() as hooks:
        formation = Formation(_get_shared_client)

        @cache
        def get_watched_client(name: str) -> Any:
            client = _get_shared_client(name, is_watched=True)
            keep, call = _make_hooks(formation)
            for event, handler in (("provide-client-params.*", keep), ("before-call.*.*", call)):
                client.meta.events.register_first(event, handler)
                hooks.callback(client.meta.events.unregister, event, handler)
            return client

        yield Cloud(formation, Account(client=get_watched_client))


@cache
def _get_session() -> Any:
    """One for all: a session reads botocore's models, which are large."""
    return boto3.session.Session(**KEYS)


@cache
def _get_shared_client(name: str, is_watched: bool = False) -> Any:
    """A client for all accounts, one after another. A watched one has the account's hooks: its calls are recorded, may
    be denied, and go to our CloudFormation where they are for it."""
    return _get_session().client(name)


@contextmanager
def replace_clients(formation: Formation) -> Iterator[None]:
    """The same for every client that is made meanwhile, as moto does it: for commands, which make their own."""
    keep, call = _make_hooks(formation)
    hooks = [("provide-client-params", keep, REGISTER_FIRST), ("before-call", call, REGISTER_FIRST)]
    BUILTIN_HANDLERS.extend(hooks)
    try:
        yield
    finally:
        for hook in hooks:
            BUILTIN_HANDLERS.remove(hook)


def _make_hooks(formation: Formation) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def keep(params: dict[str, Any], model: Any, context: dict[str, Any], **details: Any) -> None:
        context["asked"] = params
        formation.called.append((model.service_model.service_name, model.name, params))

    def call(model: Any, context: dict[str, Any], **details: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        service = model.service_model.service_name
        formation.before.pop(model.name, lambda: None)()
        if model.name in formation.denied:
            return make_refusal("AccessDenied", f"User: arn:aws:iam::{ID}:user/dev is not authorized")
        request = context["asked"]
        if model.name in ("PutBucketLogging", "PutBucketPolicy"):
            formation.settings[request["Bucket"], model.name] = request
            return AWSResponse("", 204, {}, None), {"ResponseMetadata": {"HTTPStatusCode": 204}}
        if service not in ("cloudformation", "codecommit", "codepipeline", "lambda"):
            return None
        request = json.loads(json.dumps(request, default=bytes.decode))
        formation.faults += list_faults(load_operation(service, model.name).input_shape, request, model.name)
        try:
            answer = formation.answer(model.name, request)
        except Refusal as refusal:
            return make_refusal(refusal.code, str(refusal))
        shape = load_operation(service, model.name).output_shape
        if shape is not None:
            formation.faults += list_faults(shape, answer, f"answer of {model.name}")
        return AWSResponse("", 200, {}, None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    return keep, call
