"""`dockgate gate IMAGE --inspector`: nothing is scanned, and what Inspector does not say is never clean."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aws.account import digest_of, make_finding
from tests.aws.fakes.server import Refused
from tests.aws.inspector import FULL_REPOSITORY, Aws, run_aws
from tests.cli.conftest import Dockgate

IMAGE = digest_of(1)
CASES = Path(__file__).parent.parent / "cases" / "findings"


@pytest.fixture
def inspector_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with run_aws() as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        yield account


@pytest.mark.parametrize(
    ("severity", "code", "expected"),
    [("", 0, "Approved by policy default"), ("CRITICAL", 1, "CVE-2024-0001"), ("LOW", 0, "Approved by policy default")],
)
def test_an_image_is_judged_by_what_inspector_found(
    inspector_account: Aws, dockgate: Dockgate, severity: str, code: int, expected: str
) -> None:
    inspector_account.complete_scan(IMAGE, *([make_finding(IMAGE, severity)] if severity else []))
    result = dockgate("gate", f"{FULL_REPOSITORY}@{IMAGE}", "--inspector")
    assert (result.code, expected in result.out) == (code, True), result.err
    assert "inspector" in result.out


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", "Inspector has not scanned the image."),
        ("PENDING_INITIAL_SCAN", "Inspector has not scanned the image: PENDING_INITIAL_SCAN."),
        ("UNSUPPORTED_OS", "Inspector cannot scan the image: UNSUPPORTED_OS."),
    ],
)
def test_an_image_that_inspector_has_not_scanned_is_undetermined(
    inspector_account: Aws, dockgate: Dockgate, reason: str, expected: str
) -> None:
    if reason:
        inspector_account.cover_image(IMAGE, reason)
    result = dockgate("gate", f"{FULL_REPOSITORY}@{IMAGE}", "--inspector")
    assert (result.code, expected in result.out) == (3, True), result.out


def test_an_index_has_the_worst_verdict_of_its_images(inspector_account: Aws, dockgate: Dockgate) -> None:
    good, bad, new = (digest_of(number) for number in range(1, 4))
    inspector_account.complete_scan(good)
    inspector_account.complete_scan(bad, make_finding(bad, "CRITICAL"))
    for images, code in (((good,), 0), ((good, new), 3), ((good, bad), 1), ((new, bad), 1)):
        result = dockgate("gate", f"{FULL_REPOSITORY}@{inspector_account.index(*images)}", "--inspector", "-o", "json")
        assert result.code == code, result.out + result.err
    assert json.loads(result.out)["image"]["digest"] == inspector_account.index(new, bad)


def test_reports_of_other_scanners_count_together_with_inspector(
    inspector_account: Aws, dockgate: Dockgate, tmp_path: Path
) -> None:
    inspector_account.complete_scan(IMAGE)
    document = json.loads((CASES / "trivy-findings.json").read_text())
    document["Metadata"]["RepoDigests"] = [f"registry.test/app@{IMAGE}"]
    file = tmp_path / "trivy.json"
    file.write_text(json.dumps(document))
    both = ("gate", f"{FULL_REPOSITORY}@{IMAGE}", "--inspector", "--findings", str(file))
    assert dockgate(*both).code == 1
    document["Metadata"]["RepoDigests"] = [f"registry.test/app@{digest_of(7)}"]
    file.write_text(json.dumps(document))
    result = dockgate(*both)
    assert (result.code, "not about" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "--inspector needs an image name"),
        ((f"{FULL_REPOSITORY}@{IMAGE}", "--platform", "linux/amd64"), "--inspector needs an image name"),
        ((f"quay.io/team/app@{IMAGE}",), "not an image in Amazon ECR"),
        ((f"{FULL_REPOSITORY}@{IMAGE}", "--server", "http://127.0.0.1:9"), "--inspector"),
    ],
    ids=["none", "platform", "elsewhere", "server"],
)
def test_unsupported_inspector_requests_are_refused(
    dockgate: Dockgate, arguments: tuple[str, ...], expected: str
) -> None:
    result = dockgate("gate", *arguments, "--inspector")
    assert (result.code, expected in result.err) == (2, True), result.err


def test_an_aws_error_exits_2(inspector_account: Aws, dockgate: Dockgate) -> None:
    def refuse(request: object) -> dict[str, object]:
        raise Refused("AccessDeniedException", "not you")

    inspector_account.services["inspector2"].operations["ListFindings"] = refuse
    inspector_account.cover_image(IMAGE, "SUCCESSFUL")
    result = dockgate("gate", f"{FULL_REPOSITORY}@{IMAGE}", "--inspector")
    assert (result.code, "AccessDeniedException: not you" in result.err) == (2, True), result.err
