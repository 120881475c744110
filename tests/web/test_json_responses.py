"""JSON of large values, which is made before the event loop has it."""

import json
from dataclasses import dataclass, field

import pytest

from dockgate.shared import canonical
from dockgate.vulnerabilities.model import Severity
from dockgate.web.json_responses import respond_with_large


@dataclass(frozen=True, slots=True)
class Part:
    text: str | None
    severity: Severity = Severity.HIGH
    score: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    parts: tuple["Part", ...] = ()


@pytest.mark.parametrize("text", ["café", None, "odd \udcff"])
def test_a_large_value_is_answered_as_any_other(text: str | None) -> None:
    value = Part("whole", parts=(Part(text, score=7.5, counts={"HIGH": 1}),))
    response = respond_with_large(value)
    assert response.media_type == "application/json"
    assert json.loads(bytes(response.body)) == canonical.to_plain(value)
