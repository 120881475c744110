"""Version orders against files of statements, most of them made by the origin's own tool."""

import pytest
from tests.scanner.ecosystems.orders import compare_versions, read_statements

from dockgate.scanner.ecosystems import (
    apk,
    conan,
    cran,
    dotnet,
    dpkg,
    erlang,
    freebsd,
    github_actions,
    haskell,
    julia,
    npm,
    opam,
    php,
    pub,
    python,
    rpm,
    ruby,
)
from dockgate.scanner.ports import Ecosystem

OPPOSITE = {"<": ">", "=": "="}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, id=name)
        for kind, name in (
            (apk.ECOSYSTEM, "apk.txt"),
            (dpkg.ECOSYSTEM, "dpkg.txt"),
            (rpm.ECOSYSTEM, "rpm.txt"),
            (dotnet.ECOSYSTEM, "nuget.txt"),
            (npm.ECOSYSTEM, "semver.txt"),
            (python.ECOSYSTEM, "pep440.txt"),
            (github_actions.ECOSYSTEM, "actions.txt"),
            (conan.ECOSYSTEM, "conan.txt"),
            (cran.ECOSYSTEM, "cran.txt"),
            (erlang.ECOSYSTEM, "hex.txt"),
            (freebsd.ECOSYSTEM, "freebsd.txt"),
            (haskell.ECOSYSTEM, "hackage.txt"),
            (julia.ECOSYSTEM, "julia.txt"),
            (opam.ECOSYSTEM, "opam.txt"),
            (php.ECOSYSTEM, "packagist.txt"),
            (pub.ECOSYSTEM, "pub.txt"),
            (ruby.ECOSYSTEM, "rubygems.txt"),
        )
    ],
)
def test_versions_are_ordered_as_in_the_case_files(kind: Ecosystem, name: str) -> None:
    lines = read_statements(name)
    orders = [line for line in lines if len(line) == 3]
    assert orders
    assert [line for line in orders if compare_versions(kind, line[0], line[2]) != line[1]] == []
    assert [line for line in orders if compare_versions(kind, line[2], line[0]) != OPPOSITE[line[1]]] == []
    refused_versions = [line[0] for line in lines if len(line) == 2 and line[1] == "!"]
    assert len(orders) + len(refused_versions) == len(lines)
    assert [version for version in refused_versions if compare_versions(kind, version, version) != "?"] == []
