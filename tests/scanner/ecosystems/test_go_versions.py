"""How Go's versions are ordered, and which module a purl names."""

from pathlib import Path

import pytest

from dockgate.scanner.ecosystems.go import ECOSYSTEM
from dockgate.shared.errors import UncomparableError, UsageError
from dockgate.shared.purl import Purl

CASES = Path(__file__).parent.parent.parent / "cases" / "versions" / "go.txt"


def compare_versions(a: str, b: str) -> str:
    first, second = ECOSYSTEM.make_version_key(a), ECOSYSTEM.make_version_key(b)
    return "<" if first < second else "=" if first == second else ">"


def test_versions_are_ordered_as_go_orders_them() -> None:
    lines = [line for line in CASES.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 500
    for line in lines:
        if line.endswith(" !"):
            with pytest.raises(UncomparableError):
                ECOSYSTEM.make_version_key(line[:-2])
            continue
        a, sign, b = line.split(" ")
        assert (line, compare_versions(a, b)) == (line, sign)
        assert (line, compare_versions(b, a)) == (line, {"<": ">", "=": "="}[sign])
        if a[0] == b[0] == "v" and a.count(".") > 1 and b.count(".") > 1:
            assert (line, compare_versions(a[1:], b[1:])) == (line, sign)


@pytest.mark.parametrize(
    ("a", "sign", "b"),
    [
        ("1.22.0-0", "=", "1.22"),
        ("1.22.0-0", "<", "1.22rc1"),
        ("1.22.0-rc.1", "=", "1.22rc1"),
        ("1.22.0-rc.1", "=", "go1.22rc1"),
        ("1.22.0-rc.2", "<", "go1.22rc10"),
        ("1.20rc1", "<", "1.20"),
        ("1.20", "=", "1.20.0"),
        ("go1.22.3", "=", "1.22.3"),
        ("go1.22.3 X:boringcrypto", "=", "1.22.3"),
        ("0", "<", "0.0.1"),
        ("2.0.0+incompatible", "=", "v2.0.0"),
    ],
)
def test_versions_are_ordered_as_advisories_write_them(a: str, sign: str, b: str) -> None:
    assert compare_versions(a, b) == sign


@pytest.mark.parametrize(
    "version", ["(devel)", "devel go1.24-abc1234", "", "go", "v", "1.2.3.4", "\ud800", "１.0.0", "latest"]
)
def test_invalid_versions_are_refused(version: str) -> None:
    with pytest.raises(UncomparableError):
        ECOSYSTEM.make_version_key(version)


@pytest.mark.parametrize(
    ("purl", "name", "version"),
    [
        (Purl("golang", "github.com/a", "b", "v1.2.3"), "github.com/a/b", "1.2.3"),
        (Purl("golang", "", "stdlib", "1.22.3"), "stdlib", "1.22.3"),
        (Purl("golang", "", "stdlib", "v1.22.3"), "stdlib", "1.22.3"),
        (Purl("golang", "", "stdlib", "go1.22.3"), "stdlib", "1.22.3"),
        (Purl("golang", "", "std", "go1.22.3", {"type": "module"}), "stdlib", "1.22.3"),
        (Purl("golang", "github.com/a", "b", "v2.0.0", subpath="v2"), "github.com/a/b/v2", "2.0.0"),
        (Purl("golang", "a.b", "c", "v1.0.0", {"type": "package"}, "d"), "a.b/c", "1.0.0"),
    ],
)
def test_a_purl_names_a_module(purl: Purl, name: str, version: str) -> None:
    package = ECOSYSTEM.build_from_purl(purl, None)
    assert (package.source_name, package.source_version, package.ecosystem) == (name, version, "Go")


def test_a_purl_without_a_version_is_refused() -> None:
    with pytest.raises(UsageError, match="has no version"):
        ECOSYSTEM.build_from_purl(Purl("golang", "github.com/a", "b"), None)
