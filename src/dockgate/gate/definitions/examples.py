"""A policy's own examples: an image and what is found in it, and what the gate is to say. Read, not yet judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dockgate.gate.model import Status, VexStatus
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import moment, written
from dockgate.shared.yaml import Document, Location, load
from dockgate.vulnerabilities.model import Severity

NOW = "2026-01-01T00:00:00.000Z"
"""the time asked where an example does not say"""
KEYS = ("policy", "examples")
"""of a file whose policy is elsewhere"""


def _moment(value: object) -> object:
    if not isinstance(value, str) or moment(value) is None:
        raise ValueError("write a date, 2026-12-31, or a time in RFC 3339")
    return value


def _known_or_not(value: object) -> object:
    return "" if value == "" else _moment(value)


def _in_full(value: object) -> object:
    found = moment(str(_moment(value)))
    return written(found) if found else value


def _list(value: object) -> object:
    """One for a list of one."""
    return value if isinstance(value, list) else [value]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Time = Annotated[str, BeforeValidator(_known_or_not)]
"""as it was written, "" for one that nothing tells"""
Now = Annotated[str, BeforeValidator(_in_full)]
Texts = Annotated[list[Annotated[str, Field(strict=True)]], BeforeValidator(_list)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Layer = Literal["base", "own"]


class Distribution(_Strict):
    """See `core.model.Distribution`."""

    id: Text
    version: Annotated[str, Field(strict=True)] = ""
    name: str = ""
    like: list[str] = Field(default_factory=list)
    support_end: str = ""
    repository: str = ""


class Image(_Strict):
    """What is known of the image itself. `base_layers` 0: which layers are the base image's is not known; as it follows
    from the rest when not said. `diff_ids` are of the two layers, base first, "" for one that was not verified."""

    user: Annotated[str, Field(strict=True)] = ""
    created: Time = ""
    base: str = ""
    base_layers: Annotated[int, Field(ge=0, le=1)] | None = None
    diff_ids: Annotated[list[Annotated[str, Field(strict=True)]], Field(min_length=2, max_length=2)] | None = None
    distribution: Distribution | None = None


class Package(_Strict):
    """A package that is installed, and the layer that it lies in."""

    package: Text
    layer: Layer = "own"


class Finding(Package):
    """A vulnerability in a package. `exploited` is since when, `epss` and `percentile` are shares of 1."""

    id: Text
    severity: Severity = Severity.UNTRIAGED
    score: Annotated[float, Field(ge=0, le=10)] | None = None
    fixed: Annotated[str, Field(strict=True)] = ""
    aliases: list[Text] = Field(default_factory=list)
    published: Time = ""
    exploited: str = ""
    due: str = ""
    epss: Share | None = None
    percentile: Share | None = None
    note: str = ""


class Excuse(_Strict):
    """A statement of a VEX document, by somebody who uploaded it."""

    author: Text
    vulnerability: Text
    status: VexStatus = VexStatus.NOT_AFFECTED
    package: str = ""
    justification: str = ""


class ProvenanceStatement(_Strict):
    """A provenance statement about the image. `keys` signed it: public keys as PEM, or their fingerprints."""

    builder: Text
    keys: Texts
    source: str = ""
    commit: str = ""
    bases: list[Text] = Field(default_factory=list)
    finished_at: Time = ""


class Provenance(_Strict):
    """What was found beside the image. `refused` says of other statements why they do not count, `unavailable` why the
    statements could not be fetched."""

    statements: list[ProvenanceStatement] = Field(default_factory=list)
    refused: Texts = Field(default_factory=list)
    unavailable: Text | None = None


class Expected(_Strict):
    """What the gate is to say. Of lists, each entry is a rule's name or a part of what is said; where there is a list,
    nothing beyond it may be said."""

    status: Status
    violations: Texts | None = None
    warnings: Texts | None = None
    notes: Texts | None = None
    undetermined: Texts | None = None
    waived: Texts | None = None


def _expected(value: object) -> object:
    return {"status": value} if isinstance(value, str) else value


def _package(value: object) -> object:
    return {"package": value} if isinstance(value, str) else value


Packages = list[Annotated[Package, BeforeValidator(_package)]]


class Example(_Strict):
    """One example. `feeds` are those that the advisory database has; every package's when not said."""

    name: Text
    expect: Annotated[Expected, BeforeValidator(_expected)]
    now: Now = NOW
    image: Image = Image()
    packages: Packages = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    unread: Texts = Field(default_factory=list)
    running: Packages | None = None
    approved: Packages | None = None
    waivers: list[dict[str, Any]] = Field(default_factory=list)
    vex: list[Excuse] = Field(default_factory=list)
    checked: Time | None = None
    feeds: list[Text] | None = None
    provenance: Provenance | None = None
    external: bool = False
    missing_fields: list[Text] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """An example with its place, for errors."""

    example: Example
    document: Document
    here: Location

    @property
    def line(self) -> int:
        return self.document.line(self.here)

    def error(self, location: Location, message: str, advice: str = "") -> DefinitionError:
        return self.document.error((*self.here, *location), message, advice)


def read(text: str, name: str) -> tuple[Document, list[Written]]:
    """The examples of a file called `name`, and the file itself, whose policy is for others to read. DefinitionError
    for one that has none."""
    document = load(text, name)
    value = document.value
    if not isinstance(value, dict) or "examples" not in value:
        raise document.error(
            (),
            "it has no examples",
            "They are in `kind: Policy` under `examples`, or in a file with `policy` and those.",
        )
    given = value["examples"]
    if not isinstance(given, list) or not given:
        raise document.error(("examples",), "this is no list of examples", "Begin each with a dash.")
    return document, [_example(document, ("examples", index), one) for index, one in enumerate(given)]


def _example(document: Document, here: Location, given: object) -> Written:
    if not isinstance(given, dict):
        raise document.error(here, "an example is a mapping", f"Allowed here: {', '.join(Example.model_fields)}.")
    try:
        return Written(Example.model_validate(given), document, here)
    except ValidationError as error:
        raise _told(document, here, given, error) from None


def _told(document: Document, here: Location, given: Mapping[str, Any], error: ValidationError) -> DefinitionError:
    """pydantic's first complaint, in our words; of an unknown key first, for often it is a missing one, misspelt."""
    problems = error.errors(include_url=False)
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    present: list[str | int] = []
    value: Any = given
    for part in problem["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        present.append(part)
    where, key = (*here, *present), problem["loc"][-1]
    if problem["type"] == "extra_forbidden":
        return document.error(where, f"unknown key {key!r}", f"Allowed here: {', '.join(_allowed(problem['loc']))}.")
    if problem["type"] == "missing":
        return document.error(where, f"the key {key!r} is missing", "Add it.")
    found = "" if isinstance(problem.get("input"), dict | list) else f" (found {problem.get('input')!r})"
    return document.error(where, f"{problem['msg'].removeprefix('Value error, ')}{found}")


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Example
    inner: dict[str, type[BaseModel]] = {
        "expect": Expected,
        "image": Image,
        "distribution": Distribution,
        "provenance": Provenance,
        "statements": ProvenanceStatement,
        "packages": Package,
        "running": Package,
        "approved": Package,
        "findings": Finding,
        "vex": Excuse,
    }
    for part in location[:-1]:
        model = inner.get(str(part), model)
    return list(model.model_fields)
