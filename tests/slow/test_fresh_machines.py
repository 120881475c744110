"""`make demo` from nothing, on roots of the releases that it is meant for: `make slow`, for it takes minutes.

A root is what mmdebstrap makes of a distribution's archive, with python3 and make in it and nothing else. It has
mounts and processes of its own, and this machine's kernel and network (`machine.sh`): what a release's own kernel or
its systemd would do differently is not shown.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockgate.demo import base_image

ROOT = Path(__file__).parent.parent.parent
MACHINE = Path(__file__).with_name("machine.sh")
# Where Debian keeps certificate authorities that were added by hand: the new machine trusts whom this one trusts.
AUTHORITIES = Path("/usr/local/share/ca-certificates")

UBUNTU_MIRROR = os.environ.get("UBUNTU_MIRROR", "")
PACKAGES = "--include=ca-certificates,make,python3"


def _list_apt_sources(release: str) -> list[str]:
    """apt sources of the release: for Debian by this machine's own mirrors."""
    if release == "noble":
        parts = ("noble", "noble-updates", "noble-security")
        return [f"deb {UBUNTU_MIRROR} {part} main universe" for part in parts]
    return [line.replace(f" {base_image.SUITE}", f" {release}") for line in base_image.list_apt_sources()]


@pytest.fixture(params=["trixie", "bookworm", "noble"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The root of a machine that has this checkout in /root/dockgate."""
    release = request.param
    if release == "noble" and not UBUNTU_MIRROR:
        pytest.skip("Ubuntu 24.04 is not shown: set UBUNTU_MIRROR to the URL of an Ubuntu archive to show it")
    root = tmp_path / release
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", PACKAGES, release, str(root), *_list_apt_sources(release)],
        check=True,
    )
    # A release keeps its keyring under a name of its own; without one named, apt takes every key that it trusts.
    sources_list = root / "etc/apt/sources.list"
    sources_list.write_text(re.sub(r" \[signed-by=[^]]*\]", "", sources_list.read_text()))
    if AUTHORITIES.is_dir():
        shutil.copytree(AUTHORITIES, root / AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
        _run(root, "update-ca-certificates")
    checkout = root / "root" / "dockgate"
    tracked_files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in tracked_files.stdout.decode().rstrip("\0").split("\0"):
        if (ROOT / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    yield root
    shutil.rmtree(root)


def test_the_demo_runs_twice_from_nothing_and_leaves_nothing(machine: Path) -> None:
    _run(machine, "sh", "-euc", "cd /root/dockgate; make demo; make demo; make clean-demo")
    assert not (machine / "root" / "dockgate" / ".demo").exists()


def test_one_command_installs_a_server_that_starts(machine: Path) -> None:
    """README's, from a checkout on a root where `pip install .` is refused or there is no pip at all."""
    command = re.search(r"(?m)^    (sh scripts/install) +# ", (ROOT / "README.md").read_text())
    assert command is not None
    script = f"""
        export PATH=/usr/local/bin:$PATH DOCKGATE_PORT=17420 DOCKGATE_REGISTRY_PORT=17421
        export DOCKGATE_SERVER=http://127.0.0.1:17420
        cd /root/dockgate
        {command[1]}
        cd /
        dockgate --version
        dockgate up --detach
        dockgate status
        dockgate down --purge
        cd /root/dockgate
        test -z "$(find . -name '*.egg-info' -o -name build)"
        {command[1]} --cli
        PATH=/root/.local/bin:/usr/bin:/bin
        printf 'pkg:pypi/idna@3.6\\n' | dockgate check -o json || test $? = 2
    """
    _run(machine, "sh", "-euc", script)


def _run(root: Path, *command: str) -> None:
    subprocess.run(["sh", str(MACHINE), str(root), *command], check=True, timeout=1800)
