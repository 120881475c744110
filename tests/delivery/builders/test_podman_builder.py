"""What the podman builder asks of its box and of registries, on fakes of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from tests.fakes.registry import MemoryRegistry
from tests.parts import SMALL, write

from dockgate.delivery.builders.images import Base, Layer
from dockgate.delivery.builders.podman import PodmanBuilder
from dockgate.delivery.builders.sandbox.runner import Job, Outcome, Paths
from dockgate.delivery.builders.workspaces import Workspaces
from dockgate.delivery.ports import BaseImage, BuildRequest, BuildResult
from dockgate.shared.errors import BuildError, UnavailableError

DIGEST = "sha256:" + "d" * 64


@dataclass
class Runner:
    """A box that runs nothing. `outcomes` are what comes of the jobs, one after another."""

    outcomes: list[Outcome | BuildError] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    disks: int = 0
    limits = SMALL
    is_sandboxed = True

    def has_disk(self, folder: Path) -> bool:
        return self.disks > 0

    def make_disk(self, folder: Path) -> None:
        self.disks += 1

    def make_paths(self, request: BuildRequest, scratch: Path, ca_bundle: Path | None) -> Paths:
        return Paths(("podman",), "/context", "/scratch", "/out/layout", "/out/image.tar", "/ca.pem")

    def run(self, job: Job, folder: Path, log: Callable[[Sequence[str]], None]) -> Outcome:
        self.jobs.append(job)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(None, "", archive(folder))
        if isinstance(outcome, BuildError):
            raise outcome
        return outcome


def archive(folder: Path) -> IO[bytes]:
    (folder / "image.tar").write_bytes(b"image")
    return (folder / "image.tar").open("rb")


@dataclass
class Publication:
    registry: MemoryRegistry
    repository_and_tag: tuple[str, str]
    diff_ids: Sequence[str]
    before_push: Callable[[], None]
    digest: str = DIGEST
    layers: Mapping[str, Layer] = field(default_factory=dict)

    def push(self) -> None:
        self.before_push()
        self.registry.push(*self.repository_and_tag, self.digest)


@dataclass
class Images:
    """Registries in memory. `diff_ids` are the layers of what builds leave, `before_push` may raise, and so may
    `layers`, which are what the registry then knows. `given_seconds` are the limits of fetches."""

    folder: Path
    registry: MemoryRegistry
    diff_ids: Sequence[str] = ()
    before_push: Callable[[], None] = lambda: None
    layers: Mapping[str, Layer] | UnavailableError = field(default_factory=dict)
    given_seconds: list[float] = field(default_factory=list)

    def fetch(self, reference: str, limit: int, seconds: float) -> Base:
        assert limit == SMALL.disk
        self.given_seconds.append(seconds)
        write(self.folder, {f"sha256/m-{reference}": "{}"})
        image = BaseImage(reference, f"sha256:{reference}")
        layers, manifest = {"x": Layer("sha256:compressed", 1, "gzip")}, f"sha256:m-{reference}"
        config = f"sha256:c-{reference}"
        name = f"docker.io/library/{reference}"
        return Base(image, name, manifest, config, 2, self.folder, (f"sha256/m-{reference}",), ("x",), layers)

    def prepare(self, archive: IO[bytes], repository: str, tag: str, layers: Mapping[str, Layer]) -> Publication:
        assert archive.read() == b"image"
        if isinstance(self.layers, UnavailableError):
            raise self.layers
        return Publication(self.registry, (repository, tag), self.diff_ids, self.before_push, layers=self.layers)


@dataclass
class System:
    runner: Runner
    images: Images
    builder: PodmanBuilder
    source: Path

    def build(self, key: str = "key", **arguments: str) -> object:
        return self.builder.build(BuildRequest(key, "team/app", self.source, args=arguments), lambda lines: None)


def test_a_fresh_build_takes_no_layers_of_earlier_builds(system: System) -> None:
    request = BuildRequest("fresh", "team/app", system.source, is_fresh=True)
    system.builder.build(request, lambda lines: None)
    system.build()
    builds = [next(command for command in job.commands if "build" in command) for job in system.runner.jobs]
    assert ["--no-cache" in command for command in builds] == [True, False]


@pytest.fixture
def system(tmp_path: Path) -> System:
    registry, runner = MemoryRegistry(), Runner()
    images = Images(tmp_path / "bases", registry, ["x", "y"])
    source = write(
        tmp_path / "source", {"Dockerfile": "ARG TAG=1\nFROM base AS one\nFROM scratch\nCOPY --from=one / /\n"}
    )
    ca_bundle = tmp_path / "ca.pem"
    workspaces = Workspaces(tmp_path / "repositories", 5)
    builder = PodmanBuilder(runner, workspaces, images, registry, tmp_path, ca_bundle, environment={"http_proxy": "p"})
    return System(runner, images, builder, source)


def test_a_base_that_depends_on_an_argument_of_the_server_is_read_as_podman_reads_it(system: System) -> None:
    write(system.source, {"Dockerfile": "ARG PIP_CERT\nARG BASE=${PIP_CERT:+certified}\nFROM ${BASE:-plain}\n"})
    system.images.diff_ids = ["x"]
    result = system.build()
    assert isinstance(result, BuildResult)
    assert [base.reference for base in result.bases] == ["certified"]


def test_podman_gets_no_registry_no_credential_and_no_shell(system: System) -> None:
    system.build(NAME="a b; c")
    (job,) = system.runner.jobs
    pull, tag, build, folder, empty, save, pack = job.commands
    assert pull == ["podman", "pull", "--quiet", "oci:/scratch/bases:docker.io/library/base"]
    assert tag == ["podman", "tag", "c-base", "docker.io/library/base"]
    assert {"--isolation=chroot", "--pull=never", "--file=/scratch/Dockerfile", "--build-arg=NAME=a b; c"} <= set(build)
    assert build[-1] == "/context"
    assert folder == ["mkdir", "-p", "/out/layout/blobs/sha256"]
    assert empty == ["touch", "/out/layout/oci-layout", "/out/layout/blobs/sha256/x"], "layers of the base"
    assert save[:2] == ["podman", "save"]
    assert pack[0] == "tar"
    assert not [part for command in job.commands for part in command if "auth" in part or "docker://" in part]
    assert job.silent == {0, 1, 3, 4, 5, 6}
    assert job.environment == {"http_proxy": "p"}
    assert [target for _, target in job.read_only] == ["/context", "/scratch", "/ca.pem"]


def test_a_base_that_the_disk_has_is_not_loaded_again_until_the_disk_is_new(system: System) -> None:
    system.build("one")
    system.build("two")
    system.runner.outcomes = [Outcome(0, "", is_full=True)]
    with pytest.raises(BuildError, match="bytes of disk"):
        system.build("three")
    system.build("four")
    pulls = [any("pull" in command for command in job.commands) for job in system.runner.jobs]
    assert pulls == [True, False, False, True]
    assert system.runner.disks == 2


def test_a_disk_with_a_base_that_a_build_does_not_name_is_replaced(system: System) -> None:
    """podman finds every image by its id: by a name that only podman understands, the build could use the base."""
    system.build("one")
    write(system.source, {"Dockerfile": "FROM other AS one\nFROM base\nFROM scratch\nCOPY --from=one / /\n"})
    system.build("two")
    assert system.runner.disks == 1
    write(system.source, {"Dockerfile": "FROM other\n"})
    system.images.diff_ids = ["x"]
    system.build("three")
    assert system.runner.disks == 2
    system.build("four")
    assert system.runner.disks == 2
    assert [len([command for command in job.commands if "pull" in command]) for job in system.runner.jobs] == [
        1,
        1,
        1,
        0,
    ]


def test_a_disk_with_a_base_of_a_build_that_was_cut_off_is_replaced(system: System) -> None:
    system.build("one")
    write(system.source, {"Dockerfile": "FROM other AS one\nFROM base\n"})
    system.runner.outcomes = [BuildError("the build took longer than 1 s")]
    with pytest.raises(BuildError):
        system.build("two")
    write(system.source, {"Dockerfile": "FROM base\n"})
    system.images.diff_ids = ["x"]
    system.build("three")
    assert system.runner.disks == 2


def test_a_disk_of_which_nothing_is_on_record_is_replaced(system: System, tmp_path: Path) -> None:
    system.build("one")
    (record,) = tmp_path.rglob("state.json")
    record.unlink()
    system.build("two")
    assert system.runner.disks == 2


def test_an_image_that_does_not_lie_on_its_base_is_not_pushed(system: System) -> None:
    """podman may have taken an image of an earlier build, by a FROM that only it understands."""
    (system.source / "Dockerfile").write_text("FROM base\n")
    system.images.diff_ids = ["hidden", "y"]
    with pytest.raises(BuildError, match="is not based on base"):
        system.build()
    assert system.images.registry.resolve("team/app", "key") is None
    system.images.diff_ids = ["x"]
    assert system.build()


def test_slow_registries_have_together_as_much_time_as_a_build(system: System) -> None:
    write(system.source, {"Dockerfile": "FROM one\nFROM two\nFROM three\n"})
    system.images.diff_ids = ["x"]
    system.build()
    limits = system.images.given_seconds
    assert SMALL.seconds >= limits[0] > limits[1] > limits[2]
    assert len(limits) == 3


def test_an_archive_with_holes_larger_than_the_disk_is_not_read(system: System, tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(SMALL.disk + 1)
    system.runner.outcomes = [Outcome(None, "", (tmp_path / "sparse").open("rb"))]
    with pytest.raises(BuildError, match="larger than a build's disk"):
        system.build()


@pytest.mark.parametrize(("failed_command", "error"), [(1, UnavailableError), (2, BuildError), (5, UnavailableError)])
def test_only_a_build_step_is_the_dockerfiles_fault(
    system: System, failed_command: int, error: type[Exception]
) -> None:
    system.runner.outcomes = [Outcome(failed_command, "last words")]
    with pytest.raises(error, match="last words"):
        system.build()


def test_no_image_is_no_success(system: System) -> None:
    system.runner.outcomes = [Outcome(None, "", None)]
    with pytest.raises(UnavailableError, match="left no image"):
        system.build()


def test_a_result_is_on_record_before_anything_is_pushed(system: System, tmp_path: Path) -> None:
    def cut() -> None:
        (record,) = tmp_path.rglob("records/*/*.json")
        assert DIGEST in record.read_text()
        raise UnavailableError("cut")

    system.images.before_push = cut
    with pytest.raises(UnavailableError):
        system.build()
    system.images.before_push = lambda: None
    first = system.build()
    assert system.build() == first
    assert len(system.runner.jobs) == 2


def test_a_layer_that_is_gone_from_the_registry_is_saved_at_the_next_attempt(system: System) -> None:
    def get_saved_files() -> list[str]:
        return next(list(command) for command in system.runner.jobs[-1].commands if command[0] == "touch")

    system.images.layers = {"y": Layer("sha256:y", 1, "gzip")}
    system.build("one")
    system.images.layers = UnavailableError("gone")
    with pytest.raises(UnavailableError):
        system.build("two")
    assert "/out/layout/blobs/sha256/y" in get_saved_files()
    system.images.layers = {}
    system.build("two")
    assert "/out/layout/blobs/sha256/y" not in get_saved_files()
