"""Makes the record beside it: a package built by cph (Debian 13: conda-package-handling) and installed by rattler, the
library behind pixi (PyPI: py-rattler), from a channel in a folder. Without a network."""

import asyncio
import json
import subprocess
import tempfile
from pathlib import Path

import rattler
from rattler.index import index_fs

HERE = Path(__file__).parent
FULL = "small-fixture-1.4.2-h5eb4_1"


def build(work: Path) -> None:
    content = work / "content"
    for path in ("bin/small", "lib/python3.12/site-packages/small.py", "share/doc/small/README"):
        (content / path).parent.mkdir(parents=True)
        (content / path).write_text("# nothing\n")
    index = {
        "arch": "x86_64",
        "build": "h5eb4_1",
        "build_number": 1,
        "depends": [],
        "license": "Apache-2.0",
        "name": "small-fixture",
        "platform": "linux",
        "subdir": "linux-64",
        "timestamp": 1700000000000,
        "version": "1.4.2",
    }
    files = sorted(str(path.relative_to(content)) for path in content.rglob("*") if path.is_file())
    (content / "info").mkdir()
    (content / "info" / "index.json").write_text(json.dumps(index))
    (content / "info" / "files").write_text("\n".join(files) + "\n")
    channel = work / "conda-fixtures" / "linux-64"
    channel.mkdir(parents=True)
    subprocess.run(["cph", "create", str(content), f"{FULL}.conda", "--out-folder", str(channel)], check=True)


async def install(work: Path) -> None:
    channel = work / "conda-fixtures"
    await index_fs(channel)
    records = await rattler.solve([channel.as_uri()], ["small-fixture"], platforms=["linux-64", "noarch"])
    await rattler.install(records, work / "env", cache_dir=work / "cache", show_progress=False)


with tempfile.TemporaryDirectory() as folder:
    build(Path(folder))
    asyncio.run(install(Path(folder)))
    record = (Path(folder) / "env" / "conda-meta" / f"{FULL}.json").read_text()
    # The folder's name is another each time.
    (HERE / f"{FULL}.json").write_text(record.replace(folder, "/srv"))
