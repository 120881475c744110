"""Failures of real parts that take long: the build retries what a registry refuses."""

import pytest
from tests.scenarios.live import Live, application
from tests.scenarios.test_live import get_reason, live, push_version, set_up_clone

__all__ = ["live"]  # the fixture

pytestmark = pytest.mark.real


def test_a_refusing_registry_fails_the_build_and_the_next_one_runs(live: Live) -> None:
    work = set_up_clone(live, "refused")
    application(work, "2.0")
    repositories = live.data / "registry/docker/registry/v2/repositories"
    repositories.mkdir(parents=True, exist_ok=True)
    (repositories / "refused").write_text("a file where the registry wants a folder")
    failed_execution = push_version(work, 1)
    assert failed_execution["execution"]["state"] == "Failed"
    assert f"127.0.0.1:{live.registry_port}" in get_reason(failed_execution)
    assert "registry.log" in get_reason(failed_execution)
    (repositories / "refused").unlink()
    application(work, "2.0", greeting="again")
    assert push_version(work, 2)["execution"]["state"] == "Succeeded"
