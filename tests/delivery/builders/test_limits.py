"""A build that takes too much of anything ends, with a reason, and leaves the next build and the host unharmed."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.parts import SMALL, Host

from dockgate.delivery.builders.sandbox.runner import Limits
from dockgate.delivery.builders.sandbox.sandbox import find_leftovers
from dockgate.delivery.ports import BuildRequest
from dockgate.shared.errors import BuildError

pytestmark = pytest.mark.real

Source = Callable[[str], Path]


@pytest.mark.parametrize(
    ("limits", "script", "reason"),
    [
        pytest.param(
            replace(SMALL, memory=192 * 2**20),
            "awk 'BEGIN { text = \"x\"; while (1) text = text text }'",
            "more than 201326592 bytes of memory",
            id="memory",
        ),
        pytest.param(
            replace(SMALL, processes=160),
            "for number in $(seq 500); do sleep 600 & done",
            "fork|thread|[Rr]esource|exit status 2",  # of the shell, whose last words may be lost
            id="processes",
        ),
        pytest.param(replace(SMALL, log=10_000), "yes", "more than 10000 bytes of log", id="log"),
        pytest.param(replace(SMALL, seconds=3), "sleep 600", "longer than 3 s", id="time"),
    ],
)
def test_a_build_that_takes_too_much_ends_with_a_reason(
    host: Host, source: Source, limits: Limits, script: str, reason: str
) -> None:
    require_refusal(host, source(script), limits, reason)


def test_a_build_that_fills_its_disk_ends_with_a_reason_and_the_next_one_has_the_disk(
    host: Host, source: Source, tmp_path: Path
) -> None:
    limits = replace(SMALL, disk=160 * 2**20)
    script = "dd if=/dev/zero of=/large bs=1M count=1000"
    require_refusal(host, source(script), limits, "more than the 167772160 bytes of disk")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    build_request = BuildRequest("key-2", "greedy", tmp_path)
    assert host.make_builder(limits=limits).build(build_request, lambda lines: None).digest


def require_refusal(host: Host, folder: Path, limits: Limits, reason: str) -> None:
    """The build ends for this reason, and leaves nothing and no long log."""
    lines: list[str] = []
    with pytest.raises(BuildError, match=reason) as error_info:
        host.make_builder(limits=limits).build(BuildRequest("key-1", "greedy", folder), lines.extend)
    assert error_info.value.advice
    assert sum(map(len, lines)) < 2 * limits.log
    assert not find_leftovers(host.podman.folder / "builds")


def test_a_build_reaches_the_package_mirror_of_the_host(host: Host, source: Source) -> None:
    """That is what RUN instructions are there for; the mirror is the one that this host's own packages come from."""
    text = "".join(path.read_text() for path in Path("/etc/apt").rglob("*") if path.suffix in (".list", ".sources"))
    mirror = re.search(r"https?://\S+", text)
    assert mirror is not None
    codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert codename is not None
    url = f"{mirror[0].rstrip('/')}/dists/{codename[1]}/InRelease"
    request = BuildRequest("key", "mirror", source('wget -q -O /release "$URL" && test -s /release'), args={"URL": url})
    assert host.make_builder().build(request, lambda lines: None).is_sandboxed


def test_one_repository_sees_nothing_of_another_ones_cache(host: Host, tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    for repository in ("team/one", "team/two", "team/one"):
        host.make_builder().build(BuildRequest(f"key-{len(lines)}", repository, tmp_path), lines.extend)
        lines.append("END")
    first, second, third_build = " ".join(lines).split("END")[:3]
    assert "Using cache" not in first
    assert "Using cache" not in second
    assert "Using cache" in third_build


def test_a_name_in_the_storage_of_builds_is_no_base_image(host: Host, tmp_path: Path) -> None:
    """The image of the last build lies there under a name. A base comes from a registry, or not at all."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    host.make_builder().build(BuildRequest("key-1", "named", tmp_path), lambda lines: None)
    (tmp_path / "Dockerfile").write_text("FROM localhost/dockgate-build:latest\n")
    with pytest.raises(BuildError, match="base image localhost/dockgate-build:latest cannot be used"):
        host.make_builder().build(BuildRequest("key-2", "named", tmp_path), lambda lines: None)
