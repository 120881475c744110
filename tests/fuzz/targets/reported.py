"""What others say of an image: the findings of other scanners, and VEX documents."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import yaml
from tests.fuzz.mutate import json_text
from tests.fuzz.target import Part, Target

from dockgate import ecosystems, findings, sboms, vex
from dockgate.core import canonical
from dockgate.core.errors import UsageError
from dockgate.core.verdict import Reported, Statement
from dockgate.core.versions import Orders

_TESTS = Path(__file__).parent.parent.parent
_CASES = _TESTS / "cases"
_IMAGE = "sha256:" + "ab" * 32
_KINDS, _FORMATS = ecosystems.load(), findings.load()
_ASKED = findings.Asked(package=partial(sboms.package, ecosystems=_KINDS), compare=Orders(_KINDS).compare)


def _findings(data: bytes) -> None:
    """As they are kept, they are read again."""
    for image in (_IMAGE, ""):
        try:
            reports = findings.read(data, "it.json", _FORMATS, replace(_ASKED, image=image))
        except UsageError as error:
            _named(error)
            continue
        assert reports
        for one in reports:
            assert canonical.decode(Reported, canonical.encode(one)) == one
            assert all(entry.reason for entry in (*one.inventory.unread, *one.matches.undetermined))


def _vex(data: bytes) -> None:
    try:
        statements = vex.read(data, "it.json")
    except UsageError as error:
        _named(error)
        return
    for one in statements:
        assert one.vulnerabilities
        assert canonical.decode(Statement, canonical.encode(one)) == one


def _named(error: UsageError) -> None:
    """A refusal names the document."""
    assert str(error).startswith("it.json")


def _reports() -> Sequence[bytes]:
    return [path.read_bytes() for path in sorted((_CASES / "findings").glob("*.json"))]


@cache
def _statements() -> Sequence[bytes]:
    """The documents of the cases of waivers, and one that is published."""
    found = [path.read_bytes() for path in sorted((_TESTS / "vex" / "data").glob("*.json"))]
    for path in sorted((_CASES / "waivers").glob("*.yaml")):
        case = yaml.safe_load(path.read_text("utf-8").replace("{image}", _IMAGE).replace("{index}", _IMAGE))
        found += [json.dumps(one["document"]).encode() for one in case.get("vex", ())]
    return found


TARGETS = (
    Target(
        "findings",
        (Part("document", _findings, _reports, json_text),),
        (
            "dockgate.findings",
            "dockgate.findings._read",
            "dockgate.findings._inspector_packages",
            *(f"dockgate.findings.{one.name}" for one in findings.load()),
        ),
    ),
    Target(
        "vex",
        (Part("document", _vex, _statements, json_text),),
        ("dockgate.vex", "dockgate.vex._fields", *(f"dockgate.vex.{one.name}" for one in vex.load())),
    ),
)
