"""Other scanners' findings while a registry fails."""

from datetime import timedelta
from pathlib import Path

from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.shared.errors import UnavailableError


def test_a_failing_registry_does_not_delay_approvals_and_is_retried(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        failing = [True]

        def fail_while_down(moment: str) -> None:
            if failing[0]:
                raise UnavailableError("the registry is gone")

        server.attestor.fault = fail_while_down
        image = server.plan_image("retried", PlannedFindings({}))
        execution = server.request_approval(image)
        server.end_scan(image)
        assert server.answer(execution) == "Approved"
        wait_until(
            lambda: [attestation for attestation in server.get(f"/images/{image}/attestations") if attestation["error"]]
        )
        (record,) = server.get(f"/images/{image}/attestations")
        assert (record["attested_at"], record["error"]) == (None, "the registry is gone")
        assert record["attempts"] >= 1
        failing[0] = False
        server.clock.ahead += timedelta(hours=1)
        wait_until(lambda: server.get(f"/images/{image}/attestations")[0]["attested_at"])
        assert len(server.attestor.attestations[f"retried/app@{image}", "default"]) == 1
