"""The advisory database that the scans of `bench/` look up, built once for each format of DOCKGATE_FEEDS (the layout of
`dockgate db build`)."""

import os
import subprocess
import sys
from pathlib import Path

import _images
from dockgate.vulnerabilities.database.schema import FORMAT

FEEDS = Path(os.environ.get("DOCKGATE_FEEDS", _images.HERE.parent.parent / "shared" / "data"))
DOCKGATE = Path(sys.executable).parent / "dockgate"


def get_data_folder() -> Path:
    """The DOCKGATE_DATA that holds it."""
    data = _images.BUILD / f"data-{FORMAT}"
    if not (data / "advisories.db").exists():
        environment = {**os.environ, "DOCKGATE_DATA": str(data)}
        subprocess.run([str(DOCKGATE), "db", "build", "--from", str(FEEDS)], env=environment, check=True)
    return data
