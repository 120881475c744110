"""The nouns of vulnerabilities."""

from dataclasses import fields, replace
from typing import Any, cast

from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding


def test_a_finding_of_another_package_differs_only_in_the_package() -> None:
    values = {field.name: cast(Any, field.name) for field in fields(Finding)}
    finding, second = Finding(**values), Package(*"nvpesrl")
    assert finding.with_package(second) == replace(finding, package=second)
