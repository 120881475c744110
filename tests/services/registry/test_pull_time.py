"""How long one pull can keep a thread that judges: everybody who may push can name many images in one manifest."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dockgate.services.registry.registry_pulls import JUDGING_SECONDS, PulledManifest, RegistryPulls
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import BusyError, DeployError
from dockgate.store.verdict_causes import VerdictCause

SECONDS_EACH = 20.0


@dataclass
class SlowVerdicts:
    """Refuses every image, and takes its time."""

    seconds: float = 0.0
    judged: list[str] = field(default_factory=list)

    def require_approval(self, image: str, cause: VerdictCause, context: object) -> None:
        self.seconds += SECONDS_EACH
        self.judged.append(image)
        raise DeployError("it is rejected")


@dataclass
class Blobs:
    """A registry with these blobs."""

    blobs: dict[str, bytes]
    address: str = "127.0.0.1:7421"

    def read_blob(self, repository: str, digest: str, limit: int) -> bytes | None:
        return self.blobs.get(digest)


@pytest.mark.parametrize("by", ["documents", "indexes"])
def test_a_manifest_that_names_many_images_is_judged_for_a_while_only(by: str) -> None:
    digests = [f"sha256:{number:064x}" for number in range(1, 17)]
    subjects = [{"digest": {"sha256": digest.partition(":")[2]}} for digest in digests]
    blobs = {compute_digest(data): data for data in (b"{}", json.dumps({"subject": subjects}).encode())}
    config, layer = ({"digest": digest} for digest in blobs)
    data = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode()
    verdicts = SlowVerdicts()
    other_parts: Any = None
    pulls = RegistryPulls(
        approved_indexes=lambda digest: digests if by == "indexes" else [],
        selection=other_parts,
        verdicts=verdicts,  # type: ignore[arg-type]
        watching=other_parts,
        refused_pulls=other_parts,
        registry=Blobs(blobs),  # type: ignore[arg-type]
        monotonic=lambda: verdicts.seconds,
    )
    with pytest.raises(BusyError):
        pulls.find_objection(PulledManifest("team/app", "1", compute_digest(data), data))
    assert len(verdicts.judged) == JUDGING_SECONDS // SECONDS_EACH + 1
