"""What an image is compared with, by policies that count new findings alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy
from dockgate.gate.model import Policy
from dockgate.gate.policy import make_policy
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest


def compare_with_running(name: str) -> Policy:
    rule_settings = dict(read_builtin_policy(name, rules.load()).rules)
    (limit_settings,) = rule_settings["max_findings"]
    rule_settings["max_findings"] = ({**limit_settings, "baseline": "running"},)
    return make_policy(name, rule_settings)


def push_next_build(server: ServerSystem, image: str) -> str:
    """The next build of the same service, with the same findings. Returns its digest."""
    digest = "sha256:" + "5" * 64
    server.plans[digest] = server.plans[image]
    server.scan_may_end[digest] = server.scan_may_end[image]
    server.builder.digests["web/app"] = digest
    return digest


def test_findings_of_the_running_image_are_in_the_baseline(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, policy=compare_with_running) as server:
        image = server.plan_image("web", PlannedFindings())
        server.deploy_image(image)
        server.publish_advisory(image)
        next_image = push_next_build(server, image)
        server.deploy_image(next_image)
        inputs = server.get(f"/verdicts/{server.get(f'/images/{next_image}')['verdicts'][0]['digest']}")["inputs"]
        (result,) = server.store.images.list_inventories(image)
        assert inputs["baselines"] == {"running": [compute_digest(canonical.encode(result))]}
        server.clock.ahead += timedelta(hours=3)
        assert server.redeploy_image(next_image) == "Deployed"
        assert not server.get("/services/web")["service"]["at_risk"]


@pytest.mark.slow
def test_waived_findings_are_not_in_the_baseline(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, policy=compare_with_running) as server:
        image = server.plan_image("web", PlannedFindings({"HIGH": 1}))
        first = server.request_approval(image)
        server.end_scan(image)
        assert server.answer(first) == "Rejected"
        server.post("/waivers", {"owner": "ana", "reason": "once", "image": image, "until": "2999-01-01"})
        server.post(f"/executions/{first}/retry")
        wait_until(lambda: server.get(f"/executions/{first}")["execution"]["state"] == "Succeeded")
        next_image = push_next_build(server, image)
        second = server.request_approval(next_image)
        server.end_scan(next_image)
        assert server.answer(second) == "Rejected"
        digest = server.get(f"/images/{next_image}")["verdicts"][0]["digest"]
        case = server.store.verdicts.get_case(digest)
        ((identity, ecosystem, _),) = case.baseline_exemptions["running"].waived
        assert (identity[:9], ecosystem) == ("CVE-2026-", "Debian")
        assert server.get(f"/verdicts/{digest}")["inputs"]["baseline_exemptions"].keys() == {"running"}


def test_the_baseline_of_a_repository_with_a_similar_name_does_not_count(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, policy=compare_with_running) as server:
        server.deploy_image(server.plan_image("web", PlannedFindings()))
        for number, (repository, baseline) in enumerate((("app", []), ("web/app", ["running"]))):
            image = server.plan_foreign_image(f"next-{number}", PlannedFindings({"CRITICAL": 1}))
            server.scan_may_end[image].set()
            request = {"pipeline": "shop", "stage": "gate", "execution": "1", "service": "web"}
            approval = server.post("/approvals", {**request, "repository": repository, "digest": image})["approval"]
            answer = server.get(f"/approvals/{approval['id']}/answer?wait=20")
            assert sorted(server.get(f"/verdicts/{answer['verdict']}")["inputs"]["baselines"]) == baseline
