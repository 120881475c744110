"""The comparison of inventories with the peers' (bench/accuracy.py): what counts as the same, what fails the run.

The comparison itself takes images and programs that only `make bench` makes.
"""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "bench"))  # its scripts import one another as scripts do

from _inventories import Package, Seen, normalize_package  # noqa: E402
from accuracy import Explanation, compare, list_differences, read  # noqa: E402

LODASH = Package("npm", "lodash", "4.17.21")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "pkg:deb/debian/passwd@1:4.17-2?arch=amd64&distro=debian-13",
            "pkg:deb/debian/passwd@4.17-2?arch=amd64&epoch=1",
        ),
        ("pkg:golang/github.com/BurntSushi/toml@v1.4.0", "pkg:golang/github.com/burntsushi/toml@1.4.0"),
        (
            "pkg:golang/github.com/aws/aws-sdk-go-v2/config@v1.0.0",
            "pkg:golang/github.com/aws/aws-sdk-go-v2@v1.0.0#config",
        ),
        ("pkg:pypi/typing-extensions@4.1", "pkg:pypi/Typing_Extensions@4.1"),
    ],
)
def test_spellings_of_the_same_package_are_equal(first: str, second: str) -> None:
    assert normalize_package(first) == normalize_package(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pkg:deb/debian/passwd@1:4.17-2?arch=amd64", "pkg:deb/debian/passwd@4.17-2?arch=amd64"),
        ("pkg:deb/debian/passwd@4.17-2?arch=amd64", "pkg:deb/debian/passwd@4.17-2?arch=arm64"),
        ("pkg:maven/a/b@1", "pkg:maven/b/b@1"),
        ("pkg:maven/a/b@1", "pkg:maven/a/B@1"),
    ],
)
def test_other_packages_are_not(first: str, second: str) -> None:
    assert normalize_package(first) != normalize_package(second)


def test_a_source_package_counts() -> None:
    purl = "pkg:deb/debian/passwd@1:4.17-2?arch=amd64"
    assert normalize_package(purl, "shadow", "1:4.17-2") == normalize_package(purl, "shadow")
    assert normalize_package(purl, "shadow") != normalize_package(purl)


def test_a_difference_needs_an_explanation_that_holds_for_every_path() -> None:
    packages = {
        LODASH: Seen({"usr/share/nodejs/lodash/package.json", "app/node_modules/lodash/package.json"}, owned=False)
    }
    programs = {"image": {"Dockgate": {}, "Syft": packages, "Trivy": {}}}

    def count_unexplained(*explanations: Explanation) -> int:
        return len(compare(programs, list(explanations)).open)

    assert count_unexplained() == 1
    assert count_unexplained(Explanation("", "", ["npm"])) == 0
    assert count_unexplained(Explanation("", "", ["npm"], path=["usr/*", "app/*"])) == 0
    assert count_unexplained(Explanation("", "", ["npm"], path=["usr/*"])) == 1
    assert count_unexplained(Explanation("", "", ["npm"], side=["ours"])) == 1
    assert count_unexplained(Explanation("", "", ["npm"], peer=["Trivy"])) == 1
    assert count_unexplained(Explanation("", "", ["npm"], owned=True)) == 1
    assert count_unexplained(Explanation("", "", ["pypi"])) == 1


def test_each_side_and_peer_is_compared() -> None:
    programs = {
        "Dockgate": {LODASH: Seen({"a"})},
        "Syft": {LODASH: Seen()},
        "Trivy": {Package("npm", "a", "1"): Seen()},
    }
    differences = [(entry.peer, entry.side, entry.package.name) for entry in list_differences(programs)]
    assert differences == [("Trivy", "ours", "lodash"), ("Trivy", "peer", "a")]


def test_the_page_tells_every_explanation() -> None:
    page = (ROOT / "docs" / "explanation" / "accuracy.md").read_text(encoding="utf-8")
    explanations = read(yaml.safe_load((ROOT / "bench" / "accuracy.yaml").read_text(encoding="utf-8")))
    missing_explanations = [
        entry.what for entry in explanations if entry.what not in page or " ".join(entry.why.split()) not in page
    ]
    assert explanations
    assert missing_explanations == [], "run bench/accuracy.py --write"
