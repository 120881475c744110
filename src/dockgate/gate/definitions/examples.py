"""Examples of a policy: images with findings, and the expected verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dockgate.gate.definitions.validation import describe_problem
from dockgate.gate.model import Status, VexStatus
from dockgate.shared.errors import DefinitionError
from dockgate.shared.timestamps import format_time, parse_time
from dockgate.shared.yaml import Document, Location, load_document
from dockgate.vulnerabilities.model import Severity

# The time of an example that sets none.
NOW = "2026-01-01T00:00:00.000Z"
# Keys of a file whose policy is elsewhere.
KEYS = ("policy", "examples")


def _check_time(value: object) -> object:
    if not isinstance(value, str) or parse_time(value) is None:
        raise ValueError("write a date, 2026-12-31, or a time in RFC 3339")
    return value


def _read_optional_time(value: object) -> object:
    return None if value == "" else _check_time(value)


def _read_time(value: object) -> object:
    time = parse_time(str(_check_time(value)))
    return format_time(time) if time else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# As it was written; an empty text of a file is an unknown time, None.
Time = Annotated[str | None, BeforeValidator(_read_optional_time)]
Now = Annotated[str, BeforeValidator(_read_time)]
Texts = Annotated[
    list[Annotated[str, Field(strict=True)]],
    BeforeValidator(lambda value: value if isinstance(value, list) else [value]),
]
Text = Annotated[str, Field(strict=True, min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Layer = Literal["base", "own"]


class Distribution(_Strict):
    """The distribution: see `scanner.model.Distribution`."""

    id: Text
    version: Annotated[str, Field(strict=True)] = ""
    name: str = ""
    like: list[str] = Field(default_factory=list)
    support_end: str | None = None
    repository: str | None = None


class Image(_Strict):
    """Facts about the image.

    `base_layers` 0: the base image's layers are unknown; by default it follows from the other fields. `diff_ids` are
    those of the two layers, base first; one that was not verified is written as an empty text.
    """

    user: Annotated[str, Field(strict=True)] | None = None
    created: Time = None
    base: str | None = None
    base_layers: Annotated[int, Field(ge=0, le=1)] | None = None
    diff_ids: Annotated[list[Annotated[str, Field(strict=True)]], Field(min_length=2, max_length=2)] | None = None
    distribution: Distribution | None = None


class Package(_Strict):
    """An installed package and its layer."""

    package: Text
    layer: Layer = "own"


class Finding(Package):
    """A vulnerability in a package.

    `exploited` is the date since when; `epss` and `percentile` are 0 to 1.
    """

    id: Text
    severity: Severity = Severity.UNTRIAGED
    score: Annotated[float, Field(ge=0, le=10)] | None = None
    fixed: Annotated[str, Field(strict=True)] | None = None
    aliases: list[Text] = Field(default_factory=list)
    published: Time = None
    exploited: str | None = None
    due: str | None = None
    epss: Share | None = None
    percentile: Share | None = None
    note: str | None = None


class VexEntry(_Strict):
    """A statement of an uploaded VEX document."""

    author: Text
    vulnerability: Text
    status: VexStatus = VexStatus.NOT_AFFECTED
    package: str | None = None
    justification: str | None = None


class ProvenanceStatement(_Strict):
    """A provenance statement about the image, signed by `keys`: PEM public keys, or their fingerprints."""

    builder: Text
    keys: Texts
    source: str | None = None
    commit: str | None = None
    bases: list[Text] = Field(default_factory=list)
    finished_at: Time = None


class Provenance(_Strict):
    """The attached provenance.

    `refused`: why other statements do not count; `unavailable`: why fetching failed.
    """

    statements: list[ProvenanceStatement] = Field(default_factory=list)
    refused: Texts = Field(default_factory=list)
    unavailable: Text | None = None


class ExpectedVerdict(_Strict):
    """The expected verdict.

    Each entry of a list is a rule's name or a part of a message; a list is complete.
    """

    status: Status
    violations: Texts | None = None
    warnings: Texts | None = None
    notes: Texts | None = None
    undetermined: Texts | None = None
    waived: Texts | None = None


def _expand_to(key: str) -> BeforeValidator:
    """Accept a text instead of a mapping with only this key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


Packages = list[Annotated[Package, _expand_to("package")]]


class Example(_Strict):
    """One example. `feeds` are those of the advisory database, by default all that the packages need.

    `checked` is when they were checked, by default `now`: without it, the field is not among those that are set.
    """

    name: Text
    expect: Annotated[ExpectedVerdict, _expand_to("status")]
    now: Now = NOW
    image: Image = Image()
    packages: Packages = Field(default_factory=list)
    findings: list[Finding] = Field(default_factory=list)
    unread: Texts = Field(default_factory=list)
    running: Packages | None = None
    approved: Packages | None = None
    waivers: list[dict[str, Any]] = Field(default_factory=list)
    vex: list[VexEntry] = Field(default_factory=list)
    checked: Time = None
    feeds: list[Text] | None = None
    provenance: Provenance | None = None
    external: bool = False
    missing_fields: list[Text] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LocatedExample:
    """An example with its location, for errors."""

    example: Example
    document: Document
    location: Location

    @property
    def line(self) -> int:
        """The line of the document that the example starts at, from 1."""
        return self.document.find_line(self.location)

    @property
    def checked_at(self) -> str | None:
        """The time at which the feeds were checked, None if unknown."""
        return self.example.checked if "checked" in self.example.model_fields_set else self.example.now

    def make_error(self, location: Location, message: str, advice: str | None = None) -> DefinitionError:
        """The error that a location within the example causes; it names the file and the line."""
        return self.document.make_error((*self.location, *location), message, advice)


def read_examples(text: str, name: str) -> tuple[Document, list[LocatedExample]]:
    """The examples of the file `name`, and its document, for its policy.

    Raises DefinitionError if it has none.
    """
    document = load_document(text, name)
    value = document.value
    if not isinstance(value, dict) or "examples" not in value:
        advice = "Add `examples` to a document `kind: Policy`, or to a file with `policy`."
        raise document.make_error((), "the document has no examples", advice)
    entries = value["examples"]
    if not isinstance(entries, list) or not entries:
        raise document.make_error(("examples",), "this must be a list of examples", "Begin each with a dash.")
    return document, [_read_example(document, ("examples", index), entry) for index, entry in enumerate(entries)]


def _read_example(document: Document, location: Location, entry: object) -> LocatedExample:
    if not isinstance(entry, dict):
        raise document.make_error(
            location, "an example must be a mapping", f"Allowed here: {', '.join(Example.model_fields)}."
        )
    try:
        return LocatedExample(Example.model_validate(entry), document, location)
    except ValidationError as error:
        raise _convert_error(document, location, entry, error) from None


def _convert_error(
    document: Document, location: Location, entry: Mapping[str, Any], error: ValidationError
) -> DefinitionError:
    """Pydantic's first problem as our error.

    An unknown key comes first: often it is a required one, misspelt.
    """
    problems = error.errors(include_url=False)
    problem = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    present_parts: list[str | int] = []
    value: Any = entry
    for part in problem["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        present_parts.append(part)
    problem_location, key = (*location, *present_parts), problem["loc"][-1]
    if problem["type"] == "extra_forbidden":
        return document.make_error(
            problem_location, f"unknown key {key!r}", f"Allowed here: {', '.join(_list_allowed_keys(problem['loc']))}."
        )
    if problem["type"] == "missing":
        return document.make_error(problem_location, f"the key {key!r} is missing", "Add it.")
    return document.make_error(problem_location, describe_problem(problem))


def _list_allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at a location."""
    model: type[BaseModel] = Example
    models: dict[str, type[BaseModel]] = {
        "expect": ExpectedVerdict,
        "image": Image,
        "distribution": Distribution,
        "findings": Finding,
        "vex": VexEntry,
        "provenance": Provenance,
        "statements": ProvenanceStatement,
        **dict.fromkeys(("packages", "running", "approved"), Package),
    }
    for part in location[:-1]:
        model = models.get(str(part), model)
    return list(model.model_fields)
