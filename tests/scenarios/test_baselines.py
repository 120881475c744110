"""What an image is compared with, by policies that count new findings alone."""

from datetime import timedelta
from pathlib import Path

from tests.scenarios.defects import Found
from tests.scenarios.live import until
from tests.scenarios.server import ServerSystem

from dockgate import rules
from dockgate.core import canonical
from dockgate.core.policy import of_rules
from dockgate.core.verdict import Policy
from dockgate.definitions.policy import builtin


def against_what_runs(name: str) -> Policy:
    held = dict(builtin(name, rules.load()).rules)
    (counted,) = held["max_findings"]
    held["max_findings"] = ({**counted, "baseline": "running"},)
    return of_rules(name, held)


def test_what_runs_already_is_nothing_new_and_stays_so_once_deployed(tmp_path: Path) -> None:
    with ServerSystem(tmp_path, policy=against_what_runs) as server:
        image = server.image("web", Found({"HIGH": 1}))
        first = server.approval(image)
        server.scanned(image)
        assert server.answer(first) == "Rejected"
        server.post("/waivers", {"owner": "ana", "reason": "once", "image": image, "until": "2999-01-01"})
        server.post(f"/executions/{first}/retry")
        until(lambda: server.get(f"/executions/{first}")["execution"]["state"] == "Succeeded")
        newer = "sha256:" + "5" * 64  # the next build of the same service, with the same finding
        server.found[newer] = server.found[image]
        server.scan_may_end[newer] = server.scan_may_end[image]
        server.builder.digests["web/app"] = newer
        again = server.post("/pipelines/web/executions")["id"]
        server.scanned(newer)
        until(lambda: server.get(f"/executions/{again}")["execution"]["state"] == "Succeeded")
        inputs = server.get(f"/verdicts/{server.get(f'/images/{newer}')['verdicts'][0]['digest']}")["inputs"]
        (ran,) = server.store.images.inventories(image)
        assert inputs["baselines"] == {"running": [canonical.digest(canonical.encode(ran))]}
        server.clock.ahead += timedelta(hours=3)
        assert server.redeploy(newer) == "Deployed"
        assert not server.get("/services/web")["service"]["at_risk"]
