"""Lockfiles made by npm in a build: by builds that podman runs, with a stand-in for npm, and by planned ones."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.registry import MANIFEST, MemoryRegistry
from tests.fakes.repository_host import MemoryHost
from tests.parts import Host, run_host, write
from tests.pushed_images import BUSYBOX

from dockgate.delivery.fixes import FixChange, FixKind, FixPlan, LockUpdate
from dockgate.delivery.model import Execution, ExecutionId, Pipeline, RunState
from dockgate.delivery.ports import BuildRequest, BuildResult, StoredManifest
from dockgate.scanner import ecosystems
from dockgate.services.pipelines.fix_search import DeliveredImage
from dockgate.services.pipelines.lockfiles import LockBuilds
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DockgateError

NPM = next(ecosystem for ecosystem in ecosystems.load() if ecosystem.name == "npm")
DOCKERFILE = "FROM node:22 AS build\nCOPY . .\nRUN npm ci\nFROM nginx:1\nCOPY --from=build dist /www\n"
PLAN = FixPlan(
    FixKind.CHANGE, (FixChange("lodash", "4.17.20", "4.17.21"),), {"package.json": '{"name": "shop", "version": "2"}'}
)
LOCK = LockUpdate("", "package-lock.json", (("lodash", "4.17.21"),))
# Changes versions as npm would, and shows what it was given. `react-app` accepts no newer version of its own.
STAND_IN = """\
#!/bin/busybox sh
set -e
[ "$1" = update ] || exit 0
[ "$*" = "update --package-lock-only --ignore-scripts --no-audit --no-fund -- lodash" ]
grep -q '"version": "2"' package.json
/bin/busybox sed -i 's/"4.17.20"/"4.17.21"/' package-lock.json
"""


def make_lockfile(*versions: str) -> str:
    """A lockfile with lodash in each of the versions."""
    packages = {"": {"name": "shop"}} | {
        "/".join(["node_modules/react-app"] * depth + ["node_modules/lodash"]): {"version": version}
        for depth, version in enumerate(versions)
    }
    return json.dumps({"name": "shop", "lockfileVersion": 3, "packages": packages}, indent=2)


def make_delivered_image(dockerfile: str = "Dockerfile") -> DeliveredImage:
    execution = Execution(
        ExecutionId("shop-1"), "shop", 1, 1, RunState.SUCCEEDED, {}, started_at="2026-11-28T10:00:00.000Z"
    )
    context = DeploymentContext("shop/app")
    return DeliveredImage(
        Pipeline("shop", ()), execution, "sha256:" + "a" * 64, context, "shop", "main", "c" * 40, dockerfile, {}
    )


def pack_layer(content: bytes, name: str = "lock") -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(output.getvalue())


@dataclass
class PlannedBuilder:
    """Pushes an image with a planned layer, and keeps what it was to build."""

    registry: MemoryRegistry
    blob: bytes
    dockerfiles: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def build(self, request: BuildRequest, log: Callable[[str], None]) -> BuildResult:
        self.dockerfiles.append((request.context / request.dockerfile).read_text())
        self.files = {path.name: path.read_text() for path in request.context.iterdir() if path.is_file()}
        data = json.dumps({"layers": [{"digest": compute_digest(self.blob)}]}).encode()
        self.registry.blobs[compute_digest(self.blob)] = self.blob
        self.registry.put_manifest(
            request.repository, StoredManifest(compute_digest(data), MANIFEST, data), [request.key]
        )
        return BuildResult(compute_digest(data), compute_digest(b""))


@dataclass
class Site:
    builder: PlannedBuilder
    host: MemoryHost
    scratch: Path

    def make(self, files: dict[str, str], lock: LockUpdate = LOCK, plan: FixPlan = PLAN) -> str:
        commit = self.host.push("shop", files)
        builds = LockBuilds(self.builder, self.builder.registry, self.host, self.scratch, NPM)
        return builds(make_delivered_image(), commit, plan, lock)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    host = MemoryHost()
    host.create("shop")
    return Site(PlannedBuilder(MemoryRegistry(), pack_layer(make_lockfile("4.17.21").encode())), host, tmp_path)


def test_npm_runs_in_the_image_that_the_dockerfile_runs_it_in_and_runs_no_scripts(site: Site) -> None:
    text = site.make({"Dockerfile": DOCKERFILE, "package.json": "{}", "package-lock.json": make_lockfile("4.17.20")})
    assert text == make_lockfile("4.17.21")
    (dockerfile,) = site.builder.dockerfiles
    lines = dockerfile.splitlines()
    assert lines[0] == "FROM node:22 AS npm"
    commands = [json.loads(line.removeprefix("RUN ")) for line in lines if line.startswith("RUN ")]
    assert [command[:2] for command in commands] == [["npm", "install"], ["npm", "update"]]
    assert all({"--ignore-scripts", "--package-lock-only"} <= set(command) for command in commands)
    assert site.builder.files["package.json"] == PLAN.texts["package.json"]
    assert site.builder.registry.manifests == {}, "the image is deleted"
    assert list(site.scratch.iterdir()) == []


def test_a_package_that_looks_like_an_option_is_none(site: Site) -> None:
    hostile = '--script-shell=/x", "y'
    lock = LockUpdate("", "package-lock.json", ((hostile, "1"),))
    site.make({"Dockerfile": DOCKERFILE}, lock)
    lines = site.builder.dockerfiles[0].splitlines()
    update = json.loads(next(line for line in lines if "update" in line).removeprefix("RUN "))
    assert update[-2:] == ["--", hostile]


@pytest.mark.parametrize("folder", ["a b", "a\nRUN x", "$HOME", "a'b", 'a"b', "a\\b", "ü"])
def test_a_path_that_a_dockerfile_reads_in_another_way_is_refused(site: Site, folder: str) -> None:
    with pytest.raises(DockgateError, match="characters that no Dockerfile takes"):
        site.make({"Dockerfile": DOCKERFILE}, LockUpdate(folder, f"{folder}/package-lock.json", LOCK.packages))
    assert site.builder.dockerfiles == []


@pytest.mark.parametrize(
    "dockerfile",
    ["FROM node:22\nCOPY . .\nRUN yarn\n", "FROM scratch\nCOPY . .\n", "FROM node:22\nRUN pnpm install\n"],
)
def test_without_a_stage_that_runs_npm_nothing_is_built(site: Site, dockerfile: str) -> None:
    with pytest.raises(DockgateError, match="no stage of Dockerfile runs npm"):
        site.make({"Dockerfile": dockerfile})
    assert site.builder.dockerfiles == []


@pytest.mark.parametrize(
    "command",
    ["npm ci", "set -e; npm ci", '["npm", "ci"]', "--mount=type=cache,target=/root/.npm npm ci", "apk add x && npm ci"],
)
def test_npm_is_found_in_every_form_of_a_command(site: Site, command: str) -> None:
    site.make({"Dockerfile": f"FROM node:20\nRUN {command}\n"})
    assert site.builder.dockerfiles[0].startswith("FROM node:20 AS npm\n")


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"no gzip",
        gzip.compress(b"no tar file"),
        pack_layer(b"{}", "other"),
        pack_layer(b"\xff\xfe"),
        pack_layer(b"[1, 2]"),
        pack_layer(b"{"),
        pack_layer(b" " * (17 << 20)),
    ],
    ids=["empty", "no gzip", "no tar file", "no lockfile", "no text", "no object", "no JSON", "too large"],
)
def test_an_image_without_a_lockfile_is_an_error_and_is_deleted(site: Site, blob: bytes) -> None:
    site.builder.blob = blob
    with pytest.raises(DockgateError):
        site.make({"Dockerfile": DOCKERFILE})
    assert site.builder.registry.manifests == {}


def test_a_package_that_another_one_keeps_back_is_named(site: Site) -> None:
    site.builder.blob = pack_layer(make_lockfile("4.17.21", "3.10.1").encode())
    with pytest.raises(DockgateError, match=r"npm keeps lodash 3\.10\.1"):
        site.make({"Dockerfile": DOCKERFILE})
    assert site.builder.registry.manifests == {}


def test_a_link_never_leads_a_file_of_the_plan_out_of_the_source(site: Site, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"package.json": "mine"})

    class Linked(MemoryHost):
        def archive(self, repository: str, commit: str, into: Path, room: Callable[[], int] = lambda: 0) -> None:
            with tarfile.open(into, "w") as tar:
                for name, target in (("sub", str(outside)), ("package.json", str(outside / "package.json"))):
                    member = tarfile.TarInfo(name)
                    member.type, member.linkname = tarfile.SYMTYPE, target
                    tar.addfile(member)
                member = tarfile.TarInfo("Dockerfile")
                member.size = len(DOCKERFILE)
                tar.addfile(member, io.BytesIO(DOCKERFILE.encode()))

    site.host = Linked()
    site.host.create("shop")
    site.make({})
    assert (outside / "package.json").read_text() == "mine"
    subfolder_plan = FixPlan(FixKind.CHANGE, PLAN.changes, {"sub/package.json": "theirs"})
    with pytest.raises(DockgateError, match="outside the source"):
        site.make({"x": "y"}, plan=subfolder_plan)
    assert (outside / "package.json").read_text() == "mine"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with run_host(tmp_path_factory.mktemp("lockfiles")) as host:
        yield host


@pytest.mark.real
def test_a_build_makes_the_lockfile(host: Host, tmp_path: Path) -> None:
    builder, registry = host.make_builder(), host.registry
    base = write(tmp_path / "base", {"bin/npm": STAND_IN, "bin/busybox": BUSYBOX.read_bytes(), "etc/passwd": ""})
    for program in ("npm", "busybox"):
        (base / "bin" / program).chmod(0o755)
    (base / "bin" / "grep").symlink_to("busybox")
    (base / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\nCOPY etc /etc\n")
    digest = builder.build(BuildRequest("one", "lock-base", base), lambda lines: None).digest
    source = MemoryHost()
    source.create("shop")
    (tmp_path / "scratch").mkdir()
    builds = LockBuilds(builder, registry, source, tmp_path / "scratch", NPM)
    files = {
        "Dockerfile": f"FROM {registry.address}/lock-base@{digest}\nRUN npm ci\n",
        ".dockerignore": "*",
        "package.json": "{}",
    }
    commit = source.push("shop", {**files, "package-lock.json": make_lockfile("4.17.20")})
    assert builds(make_delivered_image(), commit, PLAN, LOCK) == make_lockfile("4.17.21")
    assert registry.list_tags("dockgate-locks/shop") == []
