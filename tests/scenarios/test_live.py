"""The whole way on real parts: git, podman, registry, a database built from a feed, a container that answers."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.forks import run_forked
from tests.parts import wait_until
from tests.scenarios import advisories, slow_http
from tests.scenarios.live import SERVICE, Clone, Live, application

from dockgate.gate.provenance import BUILDER, UNSANDBOXED_BUILDER

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = Live(tmp_path_factory.mktemp("live"))
    advisories.write(server.folder / "feed", advisories.DEMO)
    server.run_dockgate("db", "build", "--from", str(server.folder / "feed"))
    try:
        server.start()
        yield server
    finally:
        server.purge()


@dataclass(frozen=True)
class VulnerableBuild:
    """A repository whose first version was built and rejected, and its execution."""

    clone: Clone
    execution: Any

    @property
    def digest(self) -> str:
        return str(self.execution["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"])


@pytest.fixture(scope="module")
def vulnerable(live: Live) -> VulnerableBuild:
    clone = set_up_clone(live, "story", count=1)
    live.apply(SERVICE.format(name="story", count=1).replace("startPeriod: 20s", "startPeriod: 3s"))
    application(clone, "1.0")
    return VulnerableBuild(clone, push_version(clone, 1))


def set_up_clone(live: Live, repository: str, count: int = 0) -> Clone:
    """A repository whose service has `count` tasks: none in tests that look at no container."""
    live.set_up(repository, repository, repository, count)
    new_clone = Clone(live, repository, live.folder / "clones" / repository)
    new_clone.create_data()
    return new_clone


def push_version(clone: Clone, number: int) -> Any:
    """Commits, pushes, and waits for the execution that the push starts."""
    clone.commit(f"Version {number}")
    clone.push()
    return clone.live.wait_for_execution(f"{clone.repository}-{number}")


def get_reason(execution: Any) -> str:
    return str(execution["execution"]["reason"])


def test_a_vulnerable_image_is_rejected_the_fixed_one_runs_and_a_sick_one_is_rolled_back(
    live: Live, vulnerable: VulnerableBuild
) -> None:
    work, first = vulnerable.clone, vulnerable.execution
    assert first["execution"]["state"] == "Failed"
    assert "Rejected" in get_reason(first) or "CRITICAL" in get_reason(first), get_reason(first)
    approval = first["stages"][2]["actions"][0]["approval"]
    verdict = live.get(f"/verdicts/{approval['verdict']}")
    assert verdict["status"] == "Rejected"
    (finding,) = verdict["platform_verdicts"][0]["violations"][0]["findings"]
    assert (finding["id"], finding["package"]["name"], finding["package"]["version"], finding["fixed"]) == (
        "CVE-2026-1000",
        "demo",
        "1.0",
        "2.0",
    )
    assert live.get("/services/story")["tasks"] == []

    application(work, verdict["platform_verdicts"][0]["remediation"]["upgrades"][0]["fixed"])
    second = push_version(work, 2)
    assert second["execution"]["state"] == "Succeeded", get_reason(second)
    digest = second["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"]
    service = live.get("/services/story")
    (before,) = service["tasks"]
    assert (before["state"], before["digest"]) == ("RUNNING", digest)
    image = service["definitions"][0]["image"]
    assert image["repository"].endswith("/story/app")
    assert image["digest"] == digest
    ((_, port),) = before["ports"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "hello"

    output = live.run_dockgate("pipeline", "show", "story")
    for word in ("Source", "Build", "ContainerVulnerabilityAssessment", "Deploy", "succeeded"):
        assert word in output
    assert "CVE-2026-1000" in live.run_dockgate("pipeline", "show", "story", "--execution", "1")
    assert "COMMIT" in live.run_dockgate("pipeline", "logs", "story-2", "--stage", "Build")
    require_closed_folder(live.data)

    work.write(
        {"Dockerfile": 'FROM scratch\nCOPY root/ /\nCMD ["/bin/busybox", "sh", "-c", "echo no config; exit 3"]\n'}
    )
    failed_execution = push_version(work, 3)
    assert failed_execution["execution"]["state"] == "Failed"
    assert "no config" in get_reason(failed_execution)
    (after,) = [task for task in live.get("/services/story")["tasks"] if task["state"] == "RUNNING"]
    assert after["digest"] == digest
    ((_, port),) = after["ports"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "hello"

    changed_file = live.folder / "sick.yaml"
    text = SERVICE.format(name="story", count=1).replace("startPeriod: 20s", "startPeriod: 2s")
    changed_file.write_text(text.replace("path: /", "path: /nothing"))
    definition = live.get("/services/story")["service"]
    live.run_dockgate("apply", str(changed_file), code=2)
    assert live.get("/services/story")["service"] == definition
    assert "not healthy after 2 s" in live.get("/services/story")["rollouts"][0]["reason"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "hello"


def require_closed_folder(data: Path) -> None:
    """Other users cannot read the data. Containers and builds see modes of their own, below a closed folder."""
    open_to_others = []
    for parent, folders, files in os.walk(data):
        folders[:] = [name for name in folders if Path(parent, name) != data / "podman"]
        paths = [Path(parent, name) for name in (*folders, *files)]
        open_to_others += [path for path in paths if not path.is_symlink() and path.lstat().st_mode & 0o077]
    assert open_to_others == []
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "podman")] == [0o700, 0o700]


def test_the_command_line_gives_the_same_verdict_as_the_server(live: Live, vulnerable: VulnerableBuild) -> None:
    base = vulnerable.digest
    reference = f"127.0.0.1:{live.registry_port}/story/app@{base}"
    verdict = json.loads(live.run_dockgate("gate", reference, "-o", "json", code=1))
    assert verdict["verdict"]["status"] == "Rejected"
    assert "CVE-2026-1000" in live.run_dockgate("scan", reference)

    policy, key = live.folder / "provenance.yaml", live.run_dockgate("attestation", "key")
    rule = {"builders": [{"id": id_, "keys": [key]} for id_ in (BUILDER, UNSANDBOXED_BUILDER)]}
    source = f"git+{live.url}/git/story.git"
    policy.write_text(json.dumps({"provenance": {**rule, "sources": [source]}}))
    by = ("gate", reference, "--policy", str(policy), "-o")
    wait_until(lambda: "Approved" in live.run_dockgate(*by, "table", code=None), every=1)  # a round attaches it
    policy.write_text(json.dumps({"provenance": {**rule, "sources": [f"{source}/other"]}}))
    assert f"Its source {source} is not allowed" in live.run_dockgate(*by, "table", code=1)

    # Built on that image: its digest is recorded, and its layers are the lowest.
    layers = live.folder / "layers.yaml"
    layers.write_text(live.run_dockgate("policy", "base", reference))
    work = set_up_clone(live, "above")
    work.write({"Dockerfile": f"FROM {reference}\nCOPY www/ /srv/\n", "www/page": "above"})
    execution = push_version(work, 1)
    built_digest = execution["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"]
    reference = f"127.0.0.1:{live.registry_port}/above/app@{built_digest}"
    assert "Approved" in live.run_dockgate("gate", reference, "--policy", str(layers))
    policy.write_text(json.dumps({"provenance": {**rule, "bases": [base]}}))
    by = ("gate", reference, "--policy", str(policy), "-o")
    wait_until(lambda: "Approved" in live.run_dockgate(*by, "table", code=None), every=1)  # a round attaches it
    policy.write_text(json.dumps({"provenance": {**rule, "bases": [built_digest]}}))
    assert f"images that are not allowed: {base}" in live.run_dockgate(*by, "table", code=1)


def test_invalid_input_fails_its_action_and_the_next_push_runs(live: Live) -> None:
    """Before the build, and after it. What a builder says of other Dockerfiles is in its contract."""
    work = set_up_clone(live, "invalid")
    application(work, "2.0")
    dockerfile = (work.folder / "Dockerfile").read_text()
    (work.folder / "Dockerfile").unlink()
    corrupt = {"Dockerfile": dockerfile, "root/var/lib/dpkg/status": "Package: demo\x00\nVersion\n"}
    pushes: list[tuple[dict[str, str], str]] = [({}, "Dockerfile"), (corrupt, "var/lib/dpkg/status")]
    for number, (files, expected) in enumerate(pushes, 1):
        work.write(files)
        failed_execution = push_version(work, number)
        assert failed_execution["execution"]["state"] == "Failed"
        assert expected in get_reason(failed_execution)
    application(work, "2.0", greeting="fixed")
    fixed = push_version(work, len(pushes) + 1)
    assert fixed["execution"]["state"] == "Succeeded", get_reason(fixed)


def test_a_push_during_downtime_is_handled_at_the_next_start(live: Live, vulnerable: VulnerableBuild) -> None:
    """The registry forgets the notifications that it could not deliver when it ends with the server."""
    live.stop()
    repositories = live.data / "registry/docker/registry/v2/repositories"
    shutil.copytree(repositories / "story/app", repositories / "elsewhere")
    live.start()
    wait_until(
        lambda: vulnerable.digest in [entry["digest"] for entry in live.get("/images?repository=elsewhere")["images"]],
        seconds=20,
    )


def test_a_push_to_an_unknown_repository_is_refused_with_the_next_step(live: Live) -> None:
    stranger = Clone(live, "nowhere", live.folder / "clones" / "nowhere")
    stranger.create_data()
    stranger.commit("First")
    output = stranger.push(code=None)
    assert "nowhere" in output
    assert "dockgate apply" in output
    assert live.is_answering()


def test_an_unknown_key_is_reported_with_its_line(live: Live) -> None:
    file = live.folder / "wrong.yaml"
    file.write_text("kind: Repository\nnmae: web\n")
    result = run_forked("dockgate", ["apply", str(file)], live.env)
    assert result.returncode == 2
    assert "wrong.yaml:2: nmae" in result.stderr
    assert "name" in result.stderr
