"""The proxy of the registry in a process of its own, for `registry_pull.py`: its memory is that of the server's part.

python bench/_registry_proxy.py REGISTRY PORT FOLDER
"""

import sys
from pathlib import Path
from typing import Any, cast

import uvicorn

from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.server import connections
from dockgate.web.registry_proxy import RegistryNames, RegistryProxy


def main(registry: str, port: int, folder: Path) -> None:
    names = RegistryNames(registry, "a", registry, "a", "http://127.0.0.1")
    pulls = cast(Any, None)  # pulls of manifests, which this server gets none of
    uvicorn.run(RegistryProxy(pulls, RegistryTokens(folder), names), port=port, **connections.make_settings())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
