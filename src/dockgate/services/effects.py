"""Every effect the server has goes through `Effects.run`, under the name of a `Step`.

Inside a workflow an effect is a step of the durable engine: its result is kept, and after a crash it is not done again
unless the crash came before the result was written. So each effect may happen twice, and each is keyed. The observer
sees the moment before and after every effect; the crash tests take their list of moments from `Step`.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Step(StrEnum):
    """Every effect there is."""

    RECORD_PUSH = "record-push"
    OBSERVE_PUSH = "observe-push"
    RECORD_EVENT = "record-event"
    START_EXECUTION = "start-execution"
    RECORD_IMAGE = "record-image"
    HANDLED = "handled"
    ADVANCE = "advance"
    SOURCE = "source"
    BUILD = "build"
    IMAGE_DEFINITIONS = "image-definitions"
    REQUEST_APPROVAL = "request-approval"
    ASK = "ask"
    READ_IMAGE = "read-image"
    FAIL_SCAN = "fail-scan"
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
    TELL = "tell"
    PUT_SERVICE = "put-service"
    PUT_POLICY = "put-policy"
    REMOVE_POLICY = "remove-policy"
    RETRY = "retry"
    STOP = "stop"
    CHANGE_SERVICE = "change-service"
    ROLL_OUT = "roll-out"
    CONVERGE = "converge"
    PURGE = "purge"


Observer = Callable[[str], None]
"""Called with "before <step>" and "after <step>"."""


def unobserved(_: str) -> None:
    """The observer of a server that is not under test."""


class RunStep(Protocol):
    def __call__(self, name: str, effect: Callable[[], R], /) -> R:
        """The result of the effect, kept under this name of the workflow that runs."""
        ...


def run_at_once(_: str, effect: Callable[[], R]) -> R:
    """The `RunStep` of a process without workflows."""
    return effect()


class Effects:
    def __init__(self, observe: Observer = unobserved, run_step: RunStep = run_at_once) -> None:
        self._observe = observe
        self._run_step = run_step

    def run(self, step: Step, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, observed, as a step of the workflow that runs."""

        def effect() -> R:
            self._observe(f"before {step}")
            result = function(*args, **kwargs)
            self._observe(f"after {step}")
            return result

        return self._run_step(step.value, effect)
