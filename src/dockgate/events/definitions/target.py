"""`kind: Target`: where events go."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from dockgate.events.cloudevents import CloudEventsMode
from dockgate.events.definitions.rule import State
from dockgate.events.delivery_times import DailySummary, QuietHours, parse_zone
from dockgate.events.model import OWNERS, RESERVED_TARGETS, Target, TargetType
from dockgate.gate.definitions.fields import Name, Strict
from dockgate.gate.definitions.validation import translate
from dockgate.gate.owner import Owner
from dockgate.shared.errors import DefinitionError
from dockgate.shared.yaml import Document, Location

KIND = "Target"


def _check_zone(name: str) -> str:
    try:
        parse_zone(name)
    except DefinitionError as error:
        raise ValueError(error.full_message) from None
    return name


def _check_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("write a time of day such as 08:00")
    return text


def _read_summary(value: object) -> object:
    """Return the time of the summary: a time alone is in UTC."""
    return {"at": value} if isinstance(value, str) else value


_Time = Annotated[str, AfterValidator(_check_time)]
_Zone = Annotated[str, AfterValidator(_check_zone)]
_Recipient = Annotated[str, Field(pattern=f"^(?:{Owner.PEOPLE})$")]
_Url = Annotated[str, Field(min_length=1, max_length=4000)]
_Arn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:[\x21-\x7e]{1,1000}$")]


class _QuietHours(Strict):
    start: _Time = Field(alias="from")
    end: _Time = Field(alias="to")
    timezone: _Zone = "UTC"


class _Summary(Strict):
    at: _Time
    timezone: _Zone = "UTC"


class _Target(Strict):
    kind: Literal["Target"]
    name: Name
    state: State = "enabled"
    recipients: list[_Recipient] = Field(default_factory=list, alias="for", max_length=100)
    quietHours: _QuietHours | None = None  # noqa: N815 - like the other documents
    summary: Annotated[_Summary, BeforeValidator(_read_summary)] | None = None


class _Webhook(_Target):
    type: Literal["webhook"]
    url: _Url
    secret: str | None = None
    mode: Annotated[CloudEventsMode, Field(strict=False)] = CloudEventsMode.STRUCTURED


class _Apprise(_Target):
    type: Literal["apprise"]
    url: _Url


class _Pipeline(_Target):
    type: Literal["pipeline"]
    pipeline: Name
    perHour: int = Field(30, ge=1, le=1000)  # noqa: N815


class _Aws(_Target):
    type: Literal["eventbridge", "sns", "sqs"]
    arn: _Arn


class _Log(_Target):
    type: Literal["log"]


_MODELS: dict[str, type[_Target]] = {
    "webhook": _Webhook,
    "apprise": _Apprise,
    "pipeline": _Pipeline,
    **dict.fromkeys(("eventbridge", "sns", "sqs"), _Aws),
    "log": _Log,
}
_PUBLIC = ("mode", "pipeline", "perHour", "arn")
_SECRET = ("url", "secret")


@dataclass(frozen=True, slots=True)
class TargetDefinition:
    """A target and its secrets, which are not shown in its representation."""

    target: Target
    secrets: Mapping[str, str] = field(repr=False)


def read_target(document: Document) -> TargetDefinition:
    """The target that a document holds. Raises DefinitionError with file, line and key, without a secret."""
    kind = document.value.get("type")
    if not isinstance(kind, str) or kind not in _MODELS:
        problem = "the key 'type' is missing" if kind is None else f"unknown type {kind!r}"
        raise document.make_error(("type",), problem, f"Allowed here: {', '.join(_MODELS)}.")
    try:
        model = TypeAdapter(_MODELS[kind]).validate_python(document.value)
    except ValidationError as error:
        raise translate(document, error, lambda location: _list_allowed_keys(_MODELS[kind], location)) from None
    if model.name in (OWNERS, *RESERVED_TARGETS):
        raise document.make_error(("name",), f"the name {model.name!r} is reserved", "Choose another name.")
    values = model.model_dump(mode="json")
    secrets = {name: values[name] for name in _SECRET if values.get(name) is not None}
    quiet, summary = model.quietHours, model.summary
    if quiet is not None and quiet.start == quiet.end:
        raise document.make_error(
            ("quietHours", "to"), "the quiet hours begin and end at the same time", "Leave them out."
        )
    target = Target(
        name=model.name,
        type=TargetType(kind),
        address=_describe_address(kind, values),
        settings={name: values[name] for name in _PUBLIC if name in values},
        enabled=model.state == "enabled",
        quiet_hours=QuietHours(quiet.start, quiet.end, quiet.timezone) if quiet else None,
        summary=DailySummary(summary.at, summary.timezone) if summary else None,
        recipients=tuple(map(Owner, dict.fromkeys(model.recipients))),
    )
    return TargetDefinition(target, secrets)


def _describe_address(kind: str, values: Mapping[str, Any]) -> str:
    """The part of the target's address that may be shown: of a URL, the scheme, and of a webhook's the host."""
    if kind == "webhook":
        try:
            parts = urlsplit(values["url"])
            return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}/…"
        except ValueError:
            return "…"
    if kind == "apprise":
        return f"{values['url'].partition('://')[0].lower()[:30]}://…"
    return str(values.get("arn") or values.get("pipeline") or "")


def _list_allowed_keys(model: type[_Target], location: Location) -> list[str]:
    inner: dict[str | int, type[Strict]] = {"quietHours": _QuietHours, "summary": _Summary}
    inner_model: type[Strict] = next((inner[part] for part in location if part in inner), model)
    return [str(entry.alias or name) for name, entry in inner_model.model_fields.items()]
