"""How much memory a scan takes by the size of a layer: it is to be flat.

    python bench/layer_memory.py [MB...]

Each layer holds a Debian package's record and files of 2 MB, half of each random. `dockgate scan` reads it, findings
included, nothing cached; its children count.
"""

import io
import os
import platform
import random
import shutil
import sys
import tarfile
from pathlib import Path

from isal import igzip

import _advisories
import _images
import _measure

# MB, unpacked.
SIZES = (16, 128, 1024, 4096)
_FILE = 2**21
_RECORD = b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b8\n\n"


def make_layout(size: int) -> Path:
    """An image of one layer that holds so many MB."""
    name = f"flat-{size}"
    packed_file = _images.BUILD / f"{name}.tar.gz"
    chance = random.Random(size)  # noqa: S311 - the same each time
    if not packed_file.exists():
        _images.BUILD.mkdir(parents=True, exist_ok=True)
        with (
            igzip.open(packed_file.with_suffix(".new"), "wb", compresslevel=1) as packed_stream,
            tarfile.open(None, "w|", packed_stream) as tar,
        ):
            for path, content in (("etc/os-release", b"ID=debian\nVERSION_ID=12\n"), ("var/lib/dpkg/status", _RECORD)):
                _add(tar, path, content)
            for at in range(size * 2**20 // _FILE):
                _add(tar, f"srv/data/{at}", chance.randbytes(_FILE // 2) + bytes(_FILE // 2))
        packed_file.with_suffix(".new").replace(packed_file)
    return _images.make_layout(name, [packed_file])


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    header = tarfile.TarInfo(path)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def main(sizes: list[int]) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    cache = _images.BUILD / "flat-cache"
    environment = {"DOCKGATE_DATA": str(_advisories.get_data_folder()), "DOCKGATE_CACHE": str(cache)}
    for size in sizes:
        image = make_layout(size)
        shutil.rmtree(cache, ignore_errors=True)
        peak = _measure.measure_memory(
            [str(_advisories.DOCKGATE), "scan", f"oci:{image}", "-o", "json=/dev/null"], environment
        )
        print(f"a layer of {size} MB: at most {peak:.0f} MB", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or list(SIZES))
