"""The whole way on real parts: git, podman, registry, a database built from a feed, a container that answers."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.forks import run_forked
from tests.parts import wait_until
from tests.scenarios import advisories, slow_http
from tests.scenarios.live import OS_RELEASE, SERVICE, Clone, Live, application

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


def set_up_clone(live: Live, repository: str, count: int = 0) -> Clone:
    """A repository whose service has `count` tasks: none in tests that look at no container."""
    live.set_up(repository, repository, repository, count)
    new_clone = Clone(live, repository, live.folder / "clones" / repository)
    new_clone.create_data()
    return new_clone


def push_version(clone: Clone, number: int) -> dict[str, object]:
    """Commits, pushes, and waits for the execution that the push starts."""
    clone.commit(f"Version {number}")
    clone.push()
    view: dict[str, object] = clone.live.wait_for_execution(f"{clone.repository}-{number}")
    return view


def get_reason(execution: dict[str, object]) -> str:
    return str(execution["execution"]["reason"])  # type: ignore[index]


def test_a_vulnerable_image_is_rejected_and_the_fixed_one_runs(live: Live) -> None:
    work = set_up_clone(live, "story", count=1)
    application(work, "1.0")
    first = push_version(work, 1)
    assert first["execution"]["state"] == "Failed"  # type: ignore[index]
    assert "Rejected" in get_reason(first) or "CRITICAL" in get_reason(first), get_reason(first)
    approval = first["stages"][2]["actions"][0]["approval"]  # type: ignore[index]
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
    assert second["execution"]["state"] == "Succeeded", get_reason(second)  # type: ignore[index]
    digest = second["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"]  # type: ignore[index]
    service = live.get("/services/story")
    assert [(task["state"], task["digest"]) for task in service["tasks"]] == [("RUNNING", digest)]
    image = service["definitions"][0]["image"]
    assert image["repository"].endswith("/story/app")
    assert image["digest"] == digest
    ((_, port),) = service["tasks"][0]["ports"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "hello"

    output = live.run_dockgate("pipeline", "show", "story")
    for word in ("Source", "Build", "ContainerVulnerabilityAssessment", "Deploy", "succeeded"):
        assert word in output
    assert "CVE-2026-1000" in live.run_dockgate("pipeline", "show", "story", "--execution", "1")
    assert "COMMIT" in live.run_dockgate("pipeline", "logs", "story-2", "--stage", "Build")
    require_closed_folder(live.data)


def require_closed_folder(data: Path) -> None:
    """Other users cannot read the data. Containers and builds see modes of their own, below a closed folder."""
    open_to_others = []
    for parent, folders, files in os.walk(data):
        folders[:] = [name for name in folders if Path(parent, name) != data / "podman"]
        paths = [Path(parent, name) for name in (*folders, *files)]
        open_to_others += [path for path in paths if not path.is_symlink() and path.lstat().st_mode & 0o077]
    assert open_to_others == []
    assert [stat.S_IMODE(path.stat().st_mode) for path in (data, data / "podman")] == [0o700, 0o700]


def test_the_command_line_gives_the_same_verdict_as_the_server(live: Live) -> None:
    work = set_up_clone(live, "alone")
    application(work, "1.0")
    push_version(work, 1)
    reference = (
        f"127.0.0.1:{live.registry_port}/alone/app@{live.get('/images?repository=alone/app')['images'][0]['digest']}"
    )
    verdict = json.loads(live.run_dockgate("gate", reference, "-o", "json", code=1))
    assert verdict["verdict"]["status"] == "Rejected"
    assert "CVE-2026-1000" in live.run_dockgate("scan", reference)

    policy, key = live.folder / "provenance.yaml", live.run_dockgate("attestation", "key")
    rule = {"builders": [{"id": id_, "keys": [key]} for id_ in (BUILDER, UNSANDBOXED_BUILDER)]}
    source = f"git+{live.url}/git/alone.git"
    policy.write_text(json.dumps({"provenance": {**rule, "sources": [source]}}))
    by = ("gate", reference, "--policy", str(policy), "-o")
    wait_until(lambda: "Approved" in live.run_dockgate(*by, "table", code=None))  # once the sweep has attached it
    policy.write_text(json.dumps({"provenance": {**rule, "sources": [f"{source}/other"]}}))
    assert f"Its source {source} is not allowed" in live.run_dockgate(*by, "table", code=1)

    # Built on that image: its digest is recorded, and its layers are the lowest.
    layers = live.folder / "layers.yaml"
    layers.write_text(live.run_dockgate("policy", "base", reference))
    base = reference.rpartition("@")[2]
    work.write({"Dockerfile": f"FROM {reference}\nCOPY root/www/ /srv/\n"})
    second = push_version(work, 2)
    built_digest = second["stages"][1]["actions"][0]["variables"]["IMAGE_DIGEST"]  # type: ignore[index]
    reference = f"{reference.partition('@')[0]}@{built_digest}"
    assert "Approved" in live.run_dockgate("gate", reference, "--policy", str(layers))
    policy.write_text(json.dumps({"provenance": {**rule, "bases": [base]}}))
    by = ("gate", reference, "--policy", str(policy), "-o")
    wait_until(lambda: "Approved" in live.run_dockgate(*by, "table", code=None))
    policy.write_text(json.dumps({"provenance": {**rule, "bases": [built_digest]}}))
    assert f"images that are not allowed: {base}" in live.run_dockgate(*by, "table", code=1)


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("no-dockerfile", {"Dockerfile": None}, ["Dockerfile"]),
        ("broken-dockerfile", {"Dockerfile": "FROM scratch\nCOPY nothing /\n"}, ["nothing"]),
        ("failing-run", {"Dockerfile": 'FROM scratch\nCOPY root/ /\nRUN ["/bin/busybox", "false"]\n'}, ["RUN", "1"]),
        ("no-base", {"Dockerfile": "FROM 127.0.0.1:{registry}/base/nothing:here\n"}, ["base/nothing"]),
        ("no-database", {"root/var/lib/dpkg/status": None, "root/etc/os-release": None}, ["no operating system"]),
        ("corrupt-status", {"root/var/lib/dpkg/status": "Package demo\x00\nVersion\n"}, ["var/lib/dpkg/status"]),
        ("unknown-release", {"root/etc/os-release": OS_RELEASE.replace("13", "99")}, ["Debian:99"]),
    ],
)
def test_invalid_input_fails_its_action_and_the_next_push_runs(
    live: Live, name: str, files: dict[str, str | None], expected: list[str]
) -> None:
    work = set_up_clone(live, name)
    application(work, "2.0")
    for path, text in files.items():
        if text is None:
            (work.folder / path).unlink()
        else:
            work.write({path: text.replace("{registry}", str(live.registry_port))})
    failed_execution = push_version(work, 1)
    assert failed_execution["execution"]["state"] == "Failed"  # type: ignore[index]
    assert all(word in get_reason(failed_execution) for word in expected), get_reason(failed_execution)
    if name in ("no-dockerfile", "no-database"):  # fails before, and after the build
        application(work, "2.0", greeting="fixed")
        fixed = push_version(work, 2)
        assert fixed["execution"]["state"] == "Succeeded", get_reason(fixed)  # type: ignore[index]


def test_a_push_during_downtime_is_handled_at_the_next_start(live: Live) -> None:
    """The registry forgets the notifications that it could not deliver when it ends with the server."""
    work = set_up_clone(live, "missed")
    application(work, "2.0")
    push_version(work, 1)
    (image,) = live.get("/images?repository=missed/app")["images"]
    live.stop()
    repositories = live.data / "registry/docker/registry/v2/repositories"
    shutil.copytree(repositories / "missed/app", repositories / "elsewhere")
    live.start()
    wait_until(
        lambda: image["digest"] in [entry["digest"] for entry in live.get("/images?repository=elsewhere")["images"]],
        seconds=20,
    )


def test_a_refusing_registry_fails_the_build_and_the_next_one_runs(live: Live) -> None:
    work = set_up_clone(live, "refused")
    application(work, "2.0")
    repositories = live.data / "registry/docker/registry/v2/repositories"
    repositories.mkdir(parents=True, exist_ok=True)
    (repositories / "refused").write_text("a file where the registry wants a folder")
    failed_execution = push_version(work, 1)
    assert failed_execution["execution"]["state"] == "Failed"  # type: ignore[index]
    assert f"127.0.0.1:{live.registry_port}" in get_reason(failed_execution)
    assert "registry.log" in get_reason(failed_execution)
    (repositories / "refused").unlink()
    application(work, "2.0", greeting="again")
    assert push_version(work, 2)["execution"]["state"] == "Succeeded"  # type: ignore[index]


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


def test_a_service_that_does_not_become_healthy_is_rolled_back(live: Live) -> None:
    work = set_up_clone(live, "sick", count=1)
    live.apply(SERVICE.format(name="sick", count=1).replace("startPeriod: 20s", "startPeriod: 3s"))
    application(work, "2.0", greeting="well")
    assert push_version(work, 1)["execution"]["state"] == "Succeeded"  # type: ignore[index]
    (before,) = live.get("/services/sick")["tasks"]
    application(work, "2.0")
    work.write(
        {"Dockerfile": 'FROM scratch\nCOPY root/ /\nCMD ["/bin/busybox", "sh", "-c", "echo no config; exit 3"]\n'}
    )
    failed_execution = push_version(work, 2)
    assert failed_execution["execution"]["state"] == "Failed"  # type: ignore[index]
    assert "no config" in get_reason(failed_execution)
    (after,) = [task for task in live.get("/services/sick")["tasks"] if task["state"] == "RUNNING"]
    assert after["digest"] == before["digest"]
    ((_, port),) = after["ports"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "well"

    changed_file = live.folder / "sick.yaml"
    text = SERVICE.format(name="sick", count=1).replace("startPeriod: 20s", "startPeriod: 2s")
    changed_file.write_text(text.replace("path: /", "path: /nothing"))
    service = live.get("/services/sick")["service"]
    live.run_dockgate("apply", str(changed_file), code=2)
    assert live.get("/services/sick")["service"] == service
    assert "not healthy after 2 s" in live.get("/services/sick")["rollouts"][0]["reason"]
    assert slow_http.get(f"http://127.0.0.1:{port}/").text == "well"
