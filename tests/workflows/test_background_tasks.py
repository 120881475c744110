"""The background work of a process ends, whether it has begun or not."""

from pathlib import Path

from tests.scenarios.server import ServerSystem


def test_an_engine_that_was_never_launched_is_closed(tmp_path: Path) -> None:
    """A server whose address is in use ends before its launch, with the error that says so."""
    system = ServerSystem(tmp_path)
    for _ in range(2):
        system.background.close()
    system.client.close()
    system.store.close()
