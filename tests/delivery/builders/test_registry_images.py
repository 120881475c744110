"""Base images as the server fetches them for builds: outside of any box, so within bounds."""

from pathlib import Path

import pytest
from tests.scanner.images import make
from tests.scanner.images.client import serve_image
from tests.scanner.images.test_image_time_limit import run_silent_registry
from tests.scanner.images.webserver import serve

from dockgate.delivery.builders.registry_images import RegistryBuildImages
from dockgate.shared.errors import BuildError

# Two layers of little size, each with a megabyte inside.
ZEROS = make.make_image([{"a": bytes(2**20)}, {"b": bytes(2**20 + 1)}])


def test_a_base_image_that_inflates_past_a_builds_disk_is_refused(tmp_path: Path) -> None:
    with serve(serve_image(ZEROS)) as server:
        images = RegistryBuildImages(tmp_path, server.address, lambda registry: None)
        with pytest.raises(BuildError, match=r"more than the [0-9]+ bytes that are left of a build's disk"):
            images.fetch(f"{server.address}/team/app:1", 2**21, 60)
        base = images.fetch(f"{server.address}/team/app:1", 2**23, 60)
    assert len(base.diff_ids) == 2


def test_a_base_image_whose_registry_is_slow_is_refused_when_its_time_is_over(tmp_path: Path) -> None:
    """A build holds one of few slots: a registry that sends a byte now and then could keep it for weeks."""
    with run_silent_registry(b"HTTP/1.1 200 OK\r\nX-Long: a", lambda: None) as address:
        images = RegistryBuildImages(tmp_path, address, lambda registry: None)
        with pytest.raises(BuildError, match=r"within 0\.5 seconds"):
            images.fetch(f"{address}/team/app:1", 2**21, 0.5)
