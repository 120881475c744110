"""The changes that services make (effects), as durable steps of workflows.

Every effect runs through `Effects.run`, with its `EffectKind`. Inside a workflow an effect is a step of dbos: its
result is stored, and after a crash it is repeated only if the crash came before the result was written. So each effect
may happen twice, and each is keyed. The observer is called before and after every effect; the crash tests take their
list of moments from `EffectKind`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class EffectKind(StrEnum):
    """The name of every effect."""

    RECORD_PUSH = "record-push"
    OBSERVE_PUSH = "observe-push"
    RECORD_EVENT = "record-event"
    START_EXECUTION = "start-execution"
    RECORD_IMAGE = "record-image"
    MARK_EVENT_HANDLED = "handled"  # the name of the step in workflows that are stored
    ADVANCE = "advance"
    SOURCE = "source"
    BUILD = "build"
    IMAGE_DEFINITIONS = "image-definitions"
    REQUEST_APPROVAL = "request-approval"
    REQUEST_EXTERNAL_APPROVAL = "request-external-approval"
    READ_IMAGE = "read-image"
    FAIL_SCAN = "fail-scan"
    INDEX_IMAGE = "index-image"
    REMATCH = "rematch"
    RENEW = "renew"
    ANSWER = "answer"
    ATTEST = "attest"
    REPORT = "report"
    VOTE = "vote"
    DELIVER = "deliver"
    REGISTER_REVISION = "register-revision"
    DEPLOY = "deploy"
    FINISH = "finish"
    EXPIRE = "expire"
    REJUDGE = "rejudge"
    ACCEPT = "accept"
    ANNOUNCE = "announce"
    SEND_EVENT = "send-event"
    PUT_SERVICE = "put-service"
    PUT_POLICY = "put-policy"
    REMOVE_POLICY = "remove-policy"
    PLAN_FIX = "plan-fix"
    OFFER_FIX = "offer-fix"
    END_FIX = "end-fix"
    RETRY = "retry"
    STOP = "stop"
    CHANGE_SERVICE = "change-service"
    ROLL_OUT = "roll-out"
    CONVERGE = "converge"
    PURGE = "purge"


# Called with "before <step>" and "after <step>".
Observer = Callable[[str], None]


def observe_nothing(_: str) -> None:
    """The observer of a server that is not under test."""


class RunStep(Protocol):
    """A function that runs an effect as a step of a workflow."""

    def __call__(self, name: str, effect: Callable[[], R], /) -> R:
        """Return the result of the effect, stored under this name in the running workflow."""
        ...


def run_at_once(_: str, effect: Callable[[], R]) -> R:
    """Run the effect: the `RunStep` of a process without workflows."""
    return effect()


class Effects:
    """A runner of effects, each observed.

    `fence` waits until this process may change things. A long effect calls it before its last change: its work may have
    been taken over by another process.
    """

    def __init__(
        self,
        observe: Observer = observe_nothing,
        run_step: RunStep = run_at_once,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self._observe = observe
        self._run_step = run_step
        self.fence = fence

    def run(self, step: EffectKind, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as a step of the running workflow, and return its result."""

        def run_effect() -> R:
            self._observe(f"before {step}")
            result = function(*args, **kwargs)
            self._observe(f"after {step}")
            return result

        return self._run_step(step.value, run_effect)
