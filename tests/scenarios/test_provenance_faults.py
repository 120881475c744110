"""Provenance is attached although the registry fails at first."""

from datetime import timedelta
from pathlib import Path

from tests.parts import wait_until
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_provenance import build_image, put_strict_policy

from dockgate.shared.errors import UnavailableError
from dockgate.store.records import OutboxKind


def test_attaching_is_retried_in_the_background(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        failing = [True]

        def fail_before_attaching(moment: str) -> None:
            if failing[0] and moment == "before attach provenance":
                raise UnavailableError("the registry is gone")

        server.attestor.fault = fail_before_attaching
        put_strict_policy(server, "ours")
        image, execution = build_image(server, "retried", "ours")
        assert execution["state"] == "Succeeded", execution
        wait_until(lambda: server.store.outbox.list_entries(OutboxKind.PROVENANCE, image=image)[0].attempts)
        assert server.attestor.provenance == {}
        failing[0] = False
        server.clock.ahead += timedelta(hours=1)
        wait_until(lambda: server.attestor.provenance.get(f"retried/app@{image}"))
        wait_until(lambda: server.store.outbox.list_entries(OutboxKind.PROVENANCE, image=image)[0].done_at)
