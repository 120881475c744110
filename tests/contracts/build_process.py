"""A process that builds an image and prints the log: `DATA REGISTRY CONTEXT`."""

import sys
from pathlib import Path

from tests.parts import make_podman_builder

from dockgate.delivery.ports import BuildRequest
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.server import podman_service

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    data, address, context = sys.argv[1:]
    tokens = RegistryTokens(Path(data, "keys"))
    registry = DistributionRegistry(address, lambda access: tokens.issue_token("test", access))
    builder = make_podman_builder(podman_service.prepare(Path(data), address), registry)
    request = BuildRequest("key", "killed", Path(context))
    builder.build(request, lambda lines: sys.stdout.writelines(f"{line}\n" for line in lines))
