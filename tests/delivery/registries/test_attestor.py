"""How the server signs while registries do not answer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.scanner.images.test_image_time_limit import run_silent_registry

from dockgate.attestations.keys import Keys
from dockgate.delivery.registries.attestor import RegistryAttestor
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.errors import TooSlowError

IMAGE = "sha256:" + "1" * 64


def test_a_registry_that_does_not_answer_keeps_nothing_else_waiting_and_is_given_up(tmp_path: Path) -> None:
    """Every developer can have an image of a registry of their own approved."""
    has_request = threading.Event()
    with run_silent_registry(b"", has_request.set) as slow, ThreadPoolExecutor() as pool:
        attestor = RegistryAttestor(Keys(tmp_path / "keys"), slow, seconds=2)
        attesting = pool.submit(
            attestor.attest, "team/app", IMAGE, IMAGE, PolicyReference("default"), lambda name, digest: b"{}"
        )
        assert has_request.wait(10)
        assert pool.submit(attestor.sign, b"{}").result(10)
        assert pool.submit(attestor.list_keys).result(10)
        assert not attesting.done()
        with pytest.raises(TooSlowError):
            attesting.result(30)
        with pytest.raises(TooSlowError):
            attestor.attach_provenance("team/app", IMAGE, IMAGE, b"{}")
