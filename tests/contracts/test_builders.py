"""What every builder promises, and every registry that it pushes to. Each changing call is made twice."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pytest
from tests.fakes.builder import MemoryBuilder
from tests.fakes.registry import MemoryRegistry
from tests.forks import ForkedProcess, Surroundings
from tests.parts import SMALL, Faults, Host, run_host, wait_until, write
from tests.ports import find_free_port
from tests.pushed_images import BUSYBOX

from dockgate.delivery.builders.sandbox.unboxed import Host as Unboxed
from dockgate.delivery.ports import Builder, BuildRequest, Registry
from dockgate.delivery.registries.distribution import DistributionRegistry
from dockgate.scanner.images.registry import open_registry_source
from dockgate.scanner.registry_reference import RegistryReference
from dockgate.shared.errors import BuildError, DockgateError, UnavailableError
from dockgate.shared.references import TagReference

GOOD = "FROM scratch\nCOPY page /page\n"
BROKEN = "FROM scratch\nCOPY missing /\n"


class System(Protocol):
    """A builder with its registry. `repository` is this test's alone."""

    repository: str

    @property
    def registry(self) -> Registry: ...
    @property
    def builder(self) -> Builder: ...
    def make_unreachable(self) -> Builder:
        """The same builder when its registry does not answer."""
        ...


class Memory:
    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.registry = MemoryRegistry()
        failures: dict[str, DockgateError] = {"broken": BuildError("COPY missing: no such file", "Fix it.")}
        self.builder = MemoryBuilder(self.registry, self.registry.push, failures=failures)

    def make_unreachable(self) -> Builder:
        unavailable = UnavailableError("the registry does not answer", "Start it.")
        return MemoryBuilder(MemoryRegistry(fault=Faults(before_resolve=[unavailable])), self.registry.push)


class Podman:
    def __init__(self, repository: str, host: Host, *, unsafe: bool = False) -> None:
        self.repository = repository
        self.host = host
        self.registry = host.registry
        self.unsafe = unsafe
        self.builder = host.make_builder(unsafe=unsafe)

    def make_unreachable(self) -> Builder:
        registry = DistributionRegistry(f"127.0.0.1:{find_free_port()}")
        return self.host.make_builder(registry=registry, unsafe=self.unsafe)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with run_host(tmp_path_factory.mktemp("builders")) as host:
        yield host


@pytest.fixture(
    params=["memory", pytest.param("podman", marks=pytest.mark.real), pytest.param("unboxed", marks=pytest.mark.real)]
)
def system(request: pytest.FixtureRequest, tmp_path: Path) -> System:
    if request.param == "memory":
        return Memory(tmp_path.name.lower())
    return Podman(tmp_path.name.lower(), request.getfixturevalue("host"), unsafe=request.param == "unboxed")


@pytest.fixture
def podman(host: Host, tmp_path: Path) -> Podman:
    return Podman(tmp_path.name.lower(), host)


def request(system: System, context: Path, key: str = "key-1", dockerfile: str = "Dockerfile") -> BuildRequest:
    return BuildRequest(key, system.repository, context, dockerfile)


def test_a_key_is_built_once_and_pushed_with_its_content(system: System, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": GOOD, "page": "one"})
    lines: list[str] = []
    result = system.builder.build(request(system, tmp_path), lines.extend)
    digest = result.digest
    assert result.dockerfile_digest == f"sha256:{sha256(GOOD.encode()).hexdigest()}"
    assert digest.startswith("sha256:")
    assert system.registry.resolve(system.repository, "key-1") == digest
    assert TagReference(system.repository, "key-1") in list(system.registry.iterate_tags())
    assert lines
    assert not [line for line in lines if "\n" in line]
    write(tmp_path, {"Dockerfile": BROKEN, "page": "two"})
    assert system.builder.build(request(system, tmp_path), lambda lines: None) == result
    write(tmp_path, {"Dockerfile": GOOD})
    second = system.builder.build(request(system, tmp_path, "key-2"), lambda lines: None).digest
    assert second != digest
    for key, pushed_digest in (("key-1", digest), ("key-2", second)):
        assert system.registry.resolve(system.repository, key) == pushed_digest


def test_a_missing_dockerfile_is_named(system: System, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(BuildError, match="deploy/Dockerfile") as error_info:
            system.builder.build(request(system, tmp_path, dockerfile="deploy/Dockerfile"), lambda lines: None)
        assert error_info.value.advice
    assert system.registry.resolve(system.repository, "key-1") is None


def test_a_dockerfile_that_does_not_build_is_reported(system: System, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": BROKEN, "page": "one"})
    for _ in range(2):
        with pytest.raises(BuildError, match="missing") as error_info:
            system.builder.build(request(system, tmp_path, "broken"), lambda lines: None)
        assert error_info.value.advice
    assert system.registry.resolve(system.repository, "broken") is None


def test_a_registry_that_is_down_is_unavailable(system: System, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": GOOD, "page": "one"})
    with pytest.raises(UnavailableError) as error_info:
        system.make_unreachable().build(request(system, tmp_path), lambda lines: None)
    assert error_info.value.advice


def test_an_unknown_tag_has_no_digest(system: System) -> None:
    assert system.registry.resolve(system.repository, "nothing") is None
    assert system.registry.resolve("no/such", "nothing") is None


def test_a_crash_after_the_push_builds_nothing_again(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": GOOD, "page": "one"})
    registry = MemoryRegistry()
    faults = Faults(before_push=[UnavailableError("cut")], after_push=[UnavailableError("cut")])
    builder = MemoryBuilder(registry, registry.push, fault=faults)
    build_request = BuildRequest("key-1", "web", tmp_path)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            builder.build(build_request, lambda lines: None)
    assert builder.build(build_request, lambda lines: None).digest == registry.resolve("web", "key-1")
    assert builder.builds == ["key-1", "key-1"]


# --- podman alone ------------------------------------------------------------------------------------------------


def render_dockerfile(script: str) -> str:
    """A Dockerfile that runs the script with busybox's programs."""
    command = json.dumps(["/bin/busybox", "sh", "-c", script])
    return f"FROM scratch\nCOPY busybox /bin/busybox\nARG PIP_CERT\nARG NAME\nRUN {command}\n"


def write_context(folder: Path, dockerfile: str) -> Path:
    write(folder, {"Dockerfile": dockerfile})
    shutil.copy(BUSYBOX, folder / "busybox")
    return folder


@pytest.mark.real
def test_lines_come_while_a_run_runs_and_the_last_ones_of_one_that_fails_are_reported(
    podman: Podman, tmp_path: Path
) -> None:
    script = "echo first; sleep 3; echo no matching distribution found for flask==99 >&2; exit 3"
    write_context(tmp_path, render_dockerfile(script))
    times: dict[str, float] = {}
    with pytest.raises(BuildError, match=r"exit status 3: no matching distribution found for flask==99$"):
        podman.builder.build(
            request(podman, tmp_path), lambda lines: times.update(dict.fromkeys(lines, time.monotonic()))
        )
    assert times["no matching distribution found for flask==99"] - times["first"] > 0.3


@pytest.mark.real
def test_a_base_image_that_does_not_exist_is_named(podman: Podman, tmp_path: Path) -> None:
    base = f"{podman.registry.address}/base:missing"
    write_context(tmp_path, f"FROM {base}\n")
    with pytest.raises(BuildError, match=base) as error_info:
        podman.builder.build(request(podman, tmp_path), lambda lines: None)
    assert error_info.value.advice


@pytest.mark.real
@pytest.mark.parametrize("name", ["../outside", "link"])
def test_a_dockerfile_outside_the_source_is_refused(podman: Podman, tmp_path: Path, name: str) -> None:
    write(tmp_path, {"outside": GOOD, "context/page": "one"})
    (tmp_path / "context" / "link").symlink_to("../outside")
    with pytest.raises(BuildError, match="outside"):
        podman.builder.build(request(podman, tmp_path / "context", dockerfile=name), lambda lines: None)


@pytest.mark.real
def test_a_dockerfile_is_not_run_through_a_preprocessor(podman: Podman, tmp_path: Path) -> None:
    """podman does that with names that end with .in: an #include would read files of this machine.

    Here both the name and what it links to end so.
    """
    secret = tmp_path / "secret"
    secret.write_text('LABEL stolen="from-this-machine"\n')
    source = write(
        tmp_path / "source", {"evil.in": f'FROM scratch\n#include "{secret}"\nCOPY page /page\n', "page": "x"}
    )
    (source / "Dockerfile.in").symlink_to("evil.in")
    lines: list[str] = []
    podman.builder.build(request(podman, source, dockerfile="Dockerfile.in"), lines.extend)
    assert lines
    assert not [line for line in lines if "stolen" in line]


@pytest.mark.real
@pytest.mark.parametrize(
    ("dockerfile", "ignore"),
    [
        ("Dockerfile", ".dockerignore"),
        pytest.param("Dockerfile", ".containerignore", marks=pytest.mark.slow),
        pytest.param("deploy/Web", "deploy/Web.dockerignore", marks=pytest.mark.slow),
        ("deploy/Web", "deploy/Web.containerignore"),
    ],
)
def test_ignored_files_are_not_in_the_build_context(
    podman: Podman, tmp_path: Path, dockerfile: str, ignore: str
) -> None:
    write(tmp_path, {dockerfile: GOOD, "page": "one", ignore: "page\n"})
    with pytest.raises(BuildError, match="page"):
        podman.builder.build(request(podman, tmp_path, dockerfile=dockerfile), lambda lines: None)


@pytest.mark.real
def test_an_ignore_file_outside_the_source_is_refused(podman: Podman, tmp_path: Path) -> None:
    write(tmp_path, {"outside": "page\n", "context/Dockerfile": GOOD, "context/page": "one"})
    (tmp_path / "context" / "Dockerfile.dockerignore").symlink_to("../outside")
    with pytest.raises(BuildError, match="is outside the source"):
        podman.builder.build(request(podman, tmp_path / "context"), lambda lines: None)


@pytest.mark.real
def test_a_dockerfile_that_is_too_large_is_refused(podman: Podman, tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": GOOD + "#" * 2**20, "page": "one"})
    with pytest.raises(BuildError, match="larger than 1048576 bytes"):
        podman.builder.build(request(podman, tmp_path), lambda lines: None)


@pytest.mark.real
def test_builds_use_arguments_and_the_certificates_of_the_host_and_keep_none(podman: Podman, tmp_path: Path) -> None:
    """The step itself compares: a line of its output may be another's end, for both write into one pipe."""
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("the authorities of this host")
    script = 'test "$(cat $PIP_CERT)" = "the authorities of this host" && test "$NAME" = "a  b"'
    source = write_context(tmp_path / "source", render_dockerfile(script))
    build_request = BuildRequest("key-1", podman.repository, source, args={"NAME": "a  b"})
    digest = podman.host.make_builder(bundle).build(build_request, lambda lines: None).digest
    reference = RegistryReference(podman.registry.address, podman.repository, digest=digest)
    layers = tmp_path / "layers"
    layers.mkdir()
    with closing(open_registry_source(reference, issuers=podman.host.issuers)) as origin:
        for layer in json.loads(origin.read_root()[1])["layers"]:
            with origin.open_blob(layer["digest"]) as blob:
                subprocess.run(["tar", "-xz", "-C", layers], input=blob.read(), check=True)
    files = {str(path.relative_to(layers)) for path in layers.rglob("*") if path.is_file() and not path.is_symlink()}
    # podman leaves an empty file where it mounts one that the image has not.
    assert files - {"etc/hosts", "etc/hostname", "etc/resolv.conf"} == {"bin/busybox"}


@pytest.mark.real
def test_two_builds_at_once_do_not_disturb_each_other(podman: Podman, tmp_path: Path) -> None:
    variables: dict[str, str] = {}

    def build(name: str) -> None:
        source = write(tmp_path / name, {"Dockerfile": GOOD, "page": name})
        variables[name] = podman.host.make_builder().build(request(podman, source, name), lambda lines: None).digest

    threads = [threading.Thread(target=build, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: podman.registry.resolve(podman.repository, name) for name in ("one", "two")} == variables
    assert variables["one"] != variables["two"]


@pytest.mark.real
def test_a_build_ends_with_the_process_that_began_it(podman: Podman, tmp_path: Path) -> None:
    write_context(tmp_path, render_dockerfile("echo sleeping; sleep 4711"))
    log = tmp_path.parent / f"{tmp_path.name}.log"
    log.touch()
    arguments = [str(podman.host.data), podman.registry.address, str(tmp_path)]
    process = ForkedProcess("tests.contracts.build_process", arguments, Surroundings(dict(os.environ), log))
    wait_until(lambda: "sleeping\n" in log.read_text() or process.poll() is not None)
    assert list_sleepers(), log.read_text()
    process.kill()
    wait_until(lambda: not list_sleepers())
    process.wait()


def list_sleepers() -> list[str]:
    """The processes that run the build's last command."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if "sleep 4711" in line and "python" not in line]


@pytest.mark.real
def test_leftovers_of_builds_are_cleaned_up(podman: Podman, tmp_path: Path) -> None:
    for number in range(2):
        write(tmp_path, {"Dockerfile": GOOD, "page": str(number)})
        podman.host.make_builder(prune_every=2).build(request(podman, tmp_path, f"key-{number}"), lambda lines: None)
    assert len(podman.host.list_stored_images(podman.repository)) == 1


@pytest.mark.real
def test_podman_is_found_missing(podman: Podman, tmp_path: Path) -> None:
    write_context(tmp_path, GOOD)
    (tmp_path / "page").write_text("one")
    builder = podman.host.make_builder(runner=Unboxed(("/no/podman",), {}, SMALL))
    with pytest.raises(UnavailableError, match="/no/podman"):
        builder.build(request(podman, tmp_path), lambda lines: None)
