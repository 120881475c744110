"""Other parties' statements about an image: other scanners' findings, and VEX documents."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import yaml
from tests.fuzz.mutate import mutate_json
from tests.fuzz.target import Part, Target

from dockgate.gate import external, vex_formats
from dockgate.gate.model import ExternalReport, VexStatement
from dockgate.scanner import ecosystems, sboms
from dockgate.shared import canonical
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.versions import Orders

_TESTS = Path(__file__).parent.parent.parent
_CASES = _TESTS / "cases"
_IMAGE = "sha256:" + "ab" * 32
_KINDS, _FORMATS = ecosystems.load(), external.load()
_CONTEXT = external.ReadContext(package=partial(sboms.build_package, ecosystems=_KINDS), compare=Orders(_KINDS).compare)


def _check_findings(data: bytes) -> None:
    """Check that stored findings are read back."""
    for image in (_IMAGE, ""):
        try:
            reports = external.read(data, "it.json", _FORMATS, replace(_CONTEXT, image=image))
        except UsageError as error:
            _check_message(error)
            continue
        assert reports
        for report in reports:
            assert canonical.decode(ExternalReport, canonical.encode(report)) == report
            assert all(entry.reason for entry in report.inventory.unread)
            assert all(entry.reason for entry in report.matches.undetermined)


def _check_vex(data: bytes) -> None:
    try:
        statements = vex_formats.read(data, "it.json")
    except UsageError as error:
        _check_message(error)
        return
    for statement in statements:
        assert statement.vulnerabilities
        assert canonical.decode(VexStatement, canonical.encode(statement)) == statement


def _check_message(error: UsageError) -> None:
    """Check that an error names the document."""
    assert str(error).startswith("it.json")


def _list_reports() -> Sequence[bytes]:
    return [path.read_bytes() for path in sorted((_CASES / "findings").glob("*.json"))]


@cache
def _list_statements() -> Sequence[bytes]:
    """Return the documents of waiver cases, and a published one."""
    contents = [path.read_bytes() for path in sorted((_TESTS / "gate" / "vex_formats" / "data").glob("*.json"))]
    for path in sorted((_CASES / "waivers").glob("*.yaml")):
        case = yaml.safe_load(path.read_text("utf-8").replace("{image}", _IMAGE).replace("{index}", _IMAGE))
        contents += [json.dumps(item["document"]).encode() for item in case.get("vex", ())]
    return contents


TARGETS = (
    Target(
        "findings",
        (Part("document", _check_findings, _list_reports, mutate_json),),
        (
            "dockgate.gate.external",
            "dockgate.gate.external._fields",
            "dockgate.gate.external._report",
            "dockgate.gate.external._inspector_packages",
            *(f"dockgate.gate.external.{item.name}" for item in external.load()),
        ),
    ),
    Target(
        "vex",
        (Part("document", _check_vex, _list_statements, mutate_json),),
        (
            "dockgate.gate.vex_formats",
            "dockgate.gate.vex_formats._fields",
            *(f"dockgate.gate.vex_formats.{item.name}" for item in vex_formats.load()),
        ),
    ),
)
