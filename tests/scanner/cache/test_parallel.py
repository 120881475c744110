"""Layers read side by side: by processes in a process of one thread, by threads elsewhere; always the same facts."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, threading
from pathlib import Path
from dockgate.scanner import ecosystems
from dockgate.scanner.cache.parallel import read_all
from dockgate.scanner.cache.layer_cache import LayerCache
from dockgate.shared.errors import ImageError, UnavailableError
from tests.scanner.layers import FakeLayer, make_file

class Layer(FakeLayer):
    def read_entries(self, **how):
        Path(sys.argv[1], f"read-{self.digest[-1]}-{os.getpid()}").touch()
        return super().read_entries(**how)

folder = Path(sys.argv[1])
kinds = ecosystems.load()
layers = [
    Layer(f"sha256:{at}", [make_file(f"x/node_modules/a{at}/package.json", f'{{"name": "a{at}", "version": "1.0.0"}}')])
    for at in range(6)
]
"""


def run(tmp_path: Path, body: str) -> list[str]:
    """What the script prints, and the layers that were read, as "read-<layer>-<process>" in the folder."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT + textwrap.dedent(body), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return result.stdout.splitlines()


def read(tmp_path: Path) -> list[tuple[str, str]]:
    return sorted((at, process) for _, at, process in (path.name.split("-") for path in tmp_path.glob("read-*")))


BODY = """
facts = sorted(read_all(LayerCache(folder / "cache", kinds), layers, is_local={local}), key=lambda one: one.layer)
print(*(package.name for one in facts for file in one.package_files for package in file.packages))
"""


@pytest.mark.parametrize("local", [True, False])
def test_every_layer_is_read_once(tmp_path: Path, local: bool) -> None:
    assert run(tmp_path, BODY.format(local=local)) == ["a0 a1 a2 a3 a4 a5"]
    result = read(tmp_path)
    assert [at for at, _ in result] == list("012345")
    if not local:
        assert len({process for _, process in result}) == 1


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    thread_code = "ended = threading.Event(); threading.Thread(target=ended.wait).start()"
    assert run(tmp_path, f"{thread_code}\n{BODY.format(local=True)}\nended.set()") == ["a0 a1 a2 a3 a4 a5"]
    assert len({process for _, process in read(tmp_path)}) == 1


def test_without_a_cache_layers_are_read_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert run(tmp_path, BODY.format(local=True)) == ["a0 a1 a2 a3 a4 a5"]


@pytest.mark.parametrize("local", [True, False])
def test_a_layer_that_cannot_be_fetched_is_reported(tmp_path: Path, local: bool) -> None:
    body = f"""
    layers[4].failure = UnavailableError("the disk is gone")
    try:
        list(read_all(LayerCache(folder / "cache", kinds), layers, is_local={local}))
    except UnavailableError as error:
        print(error)
    """
    assert run(tmp_path, body) == ["the disk is gone"]


def test_a_broken_layer_is_unread(tmp_path: Path) -> None:
    body = """
    layers[2].failure = ImageError("no tar")
    facts = read_all(LayerCache(folder / "cache", kinds), layers, is_local=True)
    print(*(entry.reason for one in facts for entry in one.unread))
    """
    assert run(tmp_path, body) == ["The layer cannot be read: no tar."]
