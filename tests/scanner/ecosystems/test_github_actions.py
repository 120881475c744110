"""GitHub Actions by their package URLs, and how their versions compare."""

import io

import pytest

from dockgate.scanner.ecosystems.github_actions import ECOSYSTEM
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import Purl


def test_no_file_is_wanted() -> None:
    assert not ECOSYSTEM.should_read(".github/workflows/ci.yml", 1, 0o644, b"on:")
    assert ECOSYSTEM.read("ci.yml", io.BytesIO()) == Extract()


@pytest.mark.parametrize(
    ("namespace", "name", "repository"),
    [
        ("actions", "checkout", "actions/checkout"),
        ("github", "codeql-action", "github/codeql-action"),
        ("github/codeql-action", "init", "github/codeql-action"),
        ("octo/repo/.github/workflows", "ci.yml", "octo/repo"),
        ("Azure", "Setup-Kubectl", "azure/setup-kubectl"),
    ],
)
def test_a_purl_names_a_repository(namespace: str, name: str, repository: str) -> None:
    package = ECOSYSTEM.build_from_purl(Purl("githubactions", namespace, name, "v4.1.2"), None)
    assert (package.source_name, package.source_version) == (repository, "v4.1.2")
    assert (package.purl, package.ecosystem) == (f"pkg:githubactions/{repository}@v4.1.2", "GitHub Actions")


@pytest.mark.parametrize(
    ("version", "compared_version"), [("4", "v4"), ("4.1", "v4.1"), ("4.1.2", "4.1.2"), ("main", "main")]
)
def test_moving_tag_is_not_a_version(version: str, compared_version: str) -> None:
    package = ECOSYSTEM.build_from_purl(Purl("githubactions", "a", "b", version), None)
    assert (package.version, package.source_version) == (version, compared_version)


@pytest.mark.parametrize("purl", [Purl("githubactions", "a", "b"), Purl("githubactions", "", "b", "1.0.0")])
def test_package_url_needs_owner_and_version(purl: Purl) -> None:
    with pytest.raises(UsageError, match="has no"):
        ECOSYSTEM.build_from_purl(purl, None)
