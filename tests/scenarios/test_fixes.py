"""Fixes of rejected images on a server: announced, offered as branches, built again. Each once, one at a time."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.planned_images import AdvisoryDatabase, make_advisory, make_package, make_planned_inventory
from tests.scenarios.server import ServerSystem

from dockgate.delivery.fixes import FixChange, FixKind, FixPlan, make_branch_name, make_fix_id
from dockgate.delivery.model import FixAction
from dockgate.delivery.registry_access import SERVER
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.model import Advisory, Coverage, Severity

DOCKERFILE = "FROM scratch\nRUN install\n"


def digest_of(name: str) -> str:
    return f"sha256:{sha256(name.encode()).hexdigest()}"


def make_python_package(name: str, version: str) -> Package:
    path = f"usr/lib/python3/{name}.dist-info/METADATA"
    return Package(name, version, f"pkg:pypi/{name}@{version}", "PyPI", name, version, path)


def make_python_advisory(name: str, fixed: str) -> Advisory:
    return replace(make_advisory(name, Severity.CRITICAL, fixed), ecosystem="PyPI")


class BothFeeds(AdvisoryDatabase):
    """Advisories of Debian and of PyPI."""

    def list_coverage(self) -> Sequence[Coverage]:
        return (*super().list_coverage(), Coverage("PyPI", True, (), format_time(self.clock())))


class System(ServerSystem):
    """A server whose images hold what `contents` says."""

    contents: dict[str, Inventory]

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        return [self.contents[digest]] if digest in self.contents else super()._read(repository, digest)

    def hold(self, digest: str, *packages: Package, layers: Sequence[str] = ("own",), base_layers: int = 0) -> None:
        """Have an image hold packages, which are in its last layer unless they name another."""
        digests = tuple(digest_of(layer) for layer in layers)
        placed_packages = [replace(package, layer=package.layer or digests[-1]) for package in packages]
        inventory = make_planned_inventory(digest, "x", PlannedFindings())
        content = tuple(sorted(placed_packages, key=lambda entry: entry.name))
        self.contents[digest] = replace(
            inventory, packages=content, layers=digests, diff_ids=digests, base_layers=base_layers
        )

    def deliver(
        self, name: str, on_fix: str, *packages: Package, files: dict[str, str] | None = None, **options: Any
    ) -> str:
        """A pipeline that delivered an image with these packages, and its setting for fixes."""
        image = self.plan_image(name, PlannedFindings())
        if packages:
            self.hold(image, *packages, **options)
        self.push(name, files={"Dockerfile": DOCKERFILE, **(files or {})})
        self.set_fixes(name, on_fix)
        self.deploy_image(image)
        return image

    def set_fixes(self, name: str, on_fix: str) -> None:
        text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
        self.apply(text.replace("kind: Pipeline\n", f"kind: Pipeline\n{on_fix}\n"))

    def publish(self, *advisories: Advisory) -> None:
        self.advisories.advisories = [*self.advisories.advisories, *advisories]

    def list_fixes(self, name: str) -> list[Any]:
        fixes: list[Any] = self.get(f"/pipelines/{name}/fixes")
        return fixes

    def wait_for_fix(self, name: str, state: str = "Offered") -> Any:
        """The newest fix, once it has this state."""

        def find_fix() -> Any:
            return next((fix for fix in self.list_fixes(name)[:1] if fix["state"] == state), None)

        return self.wait_for_review(find_fix)

    def wait_for_review(self, condition: Callable[[], Any]) -> Any:
        """The condition's value once it is true. The server's verdicts change by themselves; fixes are looked for."""

        def review() -> Any:
            self.use_cases.fixes.review()
            return condition()

        return wait_until(review, 40, every=0.3)

    def list_announcements(self, name: str) -> list[Any]:
        events = self.store.event_log.read(0, 5000)
        return [e.body["detail"] for e in events if e.detail_type == "fix.available" and e.pipeline == name]

    def plan_next_image(self, name: str, *packages: Package) -> str:
        """What the pipeline builds from now on."""
        image = self.plan_foreign_image(f"{name}-next", PlannedFindings())
        if packages:
            self.hold(image, *packages)
        self.scan_may_end[image].set()
        self.builder.digests[f"{name}/app"] = image
        return image

    def look(self) -> None:
        """Look for fixes now, whatever was seen before."""
        self.clock.ahead += timedelta(hours=1)
        self.use_cases.fixes.review()


@pytest.fixture(scope="module")
def database() -> str:
    """Its statements have tests of their own on both databases; tests/slow plays this on Postgres."""
    return "sqlite"


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(Path(tmp_path_factory.mktemp("server")), database=database) as system:
        system.contents = {}
        system.advisories = BothFeeds(system.clock, list(system.advisories.advisories))
        yield system


def test_a_rebuild_that_fixes_the_image_is_built_judged_and_deployed(server: System) -> None:
    server.deliver("again", "onFix: rebuild")
    new = server.plan_next_image("again")
    server.publish(make_advisory("again", Severity.CRITICAL, "2"))
    wait_until(lambda: server.list_fixes("again"), 40, every=0.3)  # the server looks for them by itself, too
    fix = server.wait_for_fix("again", "Applied")
    execution = server.get(f"/executions/{fix['execution']}")
    assert execution["execution"]["state"] == "Succeeded"
    trigger = execution["execution"]["trigger"]
    assert trigger["fix"] == fix["id"]
    assert trigger["fresh"] == "yes"
    assert execution["stages"][2]["actions"][0]["approval"]["state"] == "Approved"
    (task,) = server.get("/services/again")["tasks"]
    assert task["digest"] == new
    (event,) = server.list_announcements("again")
    assert (event["kind"], event["execution"]) == ("rebuild", fix["execution"])
    assert event["changes"] == ["again: 1 → 2"]


def test_a_rebuild_that_fixes_nothing_is_refused_by_the_gate_and_not_tried_again(server: System) -> None:
    image = server.deliver("same", "onFix: rebuild\nfixesPerDay: 9")
    server.publish(make_advisory("same", Severity.CRITICAL, "2"))
    fix = server.wait_for_fix("same", "Failed")
    assert fix["reason"].startswith(f"{fix['execution']}: ContainerVulnerabilityAssessment/Approval")
    server.look()
    server.look()
    assert len(server.list_fixes("same")) == 1
    assert len(server.get("/pipelines/same/executions")) == 2
    assert server.is_running(image)


def test_a_change_of_files_is_offered_on_a_branch_of_the_server(server: System) -> None:
    odd = {"a:folder/requirements.txt": "flask==1.0\n", "a\nline/package.json": "{"}
    files = {"requirements.txt": "flask==1.0\nother==1.0\n", "app.py": "pass\n"}
    image = server.deliver("pins", "onFix: rebuild", make_python_package("flask", "1.0"), files={**odd, **files})
    head = server.services.sources.host.list_heads("pins")["main"]
    server.publish(make_python_advisory("flask", "2.0"))
    fix = server.wait_for_fix("pins")
    heads = server.services.sources.host.list_heads("pins")
    assert heads == {"main": head, fix["branch"]: fix["commit"]}
    assert fix["branch"].startswith("dockgate/fix-")
    commit = server.services.sources.host.get_commit("pins", fix["branch"])
    assert commit.author == "Dockgate <dockgate@localhost>"
    assert f"Dockgate-Fix: {fix['id']}" in commit.message
    texts = {path: server.services.sources.files.read("pins", fix["branch"], path).decode() for path in files}
    assert texts == {**files, "requirements.txt": "flask==2.0\nother==1.0\n"}
    assert len(server.get("/pipelines/pins/executions")) == 1
    (event,) = server.list_announcements("pins")
    assert (event["branch"], event["commit"], event["image"]) == (fix["branch"], fix["commit"], image)

    page = slow_http.get(f"{server.url}/pipelines/pins").text
    assert f'<a href="/repositories/pins/commits/{fix["commit"]}">{fix["branch"]}</a>' in page
    assert "flask: 1.0 → 2.0" in page

    # The commit was pushed by the server, which is not a principal: merging it is a push of a person.
    pushers = server.store.pushes.list_pushers("pins", [fix["commit"]])
    assert [pusher.principal for pusher in pushers[fix["commit"]]] == [SERVER]

    new = server.plan_next_image("pins", make_python_package("flask", "2.0"))
    server.post("/pipelines/pins/executions")
    assert server.wait_for_fix("pins", "Applied")["reason"] == f"pins-2 delivered {new}"


@pytest.mark.slow
def test_a_newer_base_image_is_offered_by_its_digest(server: System) -> None:
    old, new = digest_of("base-1"), digest_of("base-2")
    address = server.registry.address
    weak, strong = make_package("libweak", "1"), make_package("libweak", "2")
    for digest, name, library in ((old, "base", weak), (new, "base", strong)):
        server.plans[digest] = (name, PlannedFindings())
        server.hold(digest, library, layers=[f"layer of {digest}"])
    dockerfile = f"FROM {address}/base/app:latest@{old}\n"
    weak_base_package = replace(weak, layer=digest_of(f"layer of {old}"))
    server.builder.digests["based/app"] = ""
    server.deliver(
        "based",
        "onFix: branch",
        weak_base_package,
        make_package("based"),
        files={"Dockerfile": dockerfile},
        layers=[f"layer of {old}", "own"],
        base_layers=1,
    )
    for digest in (old, new):
        server.scan_may_end[digest] = may_end = threading.Event()
        may_end.set()
    server.notify_push(old, "base-1")
    server.publish(make_advisory("libweak", Severity.CRITICAL, "2"))
    first = server.wait_for_fix("based")
    assert (first["kind"], first["branch"]) == ("by hand", None)
    assert "libweak is in the base image" in first["details"]["obstacles"][0]

    server.notify_push(new, "base-2")
    wait_until(lambda: server.store.images.list_inventories(new), 20)
    server.clock.ahead += timedelta(days=1, hours=1)
    fix = server.wait_for_fix("based")
    server.wait_for_review(lambda: server.list_fixes("based")[0]["id"] != first["id"])
    fix = server.wait_for_fix("based")
    assert server.services.sources.files.read("based", fix["branch"], "Dockerfile").decode() == dockerfile.replace(
        old, new
    )
    assert [fix["state"] for fix in server.list_fixes("based")] == ["Offered", "Superseded"]


@pytest.mark.slow
def test_a_pipeline_that_only_notifies_changes_nothing(server: System) -> None:
    server.deliver(
        "notified", "onFix: notify", make_python_package("jinja2", "1.0"), files={"requirements.txt": "jinja2==1.0\n"}
    )
    server.publish(make_python_advisory("jinja2", "2.0"))
    fix = server.wait_for_fix("notified")
    assert (fix["kind"], fix["branch"], fix["execution"]) == ("change", None, None)
    server.look()
    assert len(server.list_announcements("notified")) == 1
    assert list(server.services.sources.host.list_heads("notified")) == ["main"]
    wait_until(
        lambda: any("notified" in message.title for message in server.list_notifications("fix.available").values()), 20
    )
    server.set_fixes("notified", "")
    assert server.wait_for_fix("notified", "Superseded")["reason"] == "the pipeline does not want fixes any more"


def test_without_the_setting_nothing_is_looked_for(server: System) -> None:
    server.deliver("unset", "")
    server.publish(make_advisory("unset", Severity.CRITICAL, "2"))
    wait_until(lambda: server.get("/services/unset")["service"]["at_risk"], 40)
    server.look()
    assert server.list_fixes("unset") == []


@pytest.mark.slow
def test_a_fix_that_changed_replaces_the_open_one_within_the_daily_limit(server: System) -> None:
    pins = {"requirements.txt": "a1==1.0\nb1==1.0\n"}
    server.deliver(
        "limit",
        "onFix: branch\nfixesPerDay: 2",
        make_python_package("a1", "1.0"),
        make_python_package("b1", "1.0"),
        files=pins,
    )
    server.publish(make_python_advisory("a1", "2.0"))
    first = server.wait_for_fix("limit")
    server.publish(make_python_advisory("b1", "2.0"))
    server.wait_for_review(lambda: [fix["state"] for fix in server.list_fixes("limit")] == ["Offered", "Superseded"])
    second = server.wait_for_fix("limit")
    assert second["branch"] != first["branch"]
    server.publish(replace(make_python_advisory("b1", "3.0"), id="CVE-2026-333"))
    states = ["Withheld", "Superseded", "Superseded"]
    server.wait_for_review(lambda: [fix["state"] for fix in server.list_fixes("limit")] == states)
    server.look()
    assert [fix["state"] for fix in server.list_fixes("limit")] == states
    server.clock.ahead += timedelta(days=1)
    states[0] = "Offered"
    server.wait_for_review(lambda: [fix["state"] for fix in server.list_fixes("limit")] == states)
    text = server.services.sources.files.read("limit", server.wait_for_fix("limit")["branch"], "requirements.txt")
    assert text == b"a1==2.0\nb1==3.0\n"


def test_a_change_that_fixes_only_one_of_two_violations_is_not_offered(server: System) -> None:
    """Of two violations, one has no fix."""
    server.apply("kind: Policy\nname: unfixed\nrules:\n  max_findings: {CRITICAL: 0, only_fixable: false}\n")
    server.apply("kind: PolicyAssignment\nname: stuck\nrepositories: [stuck/app]\npolicy: unfixed\n")
    packages = make_python_package("c1", "1.0"), make_python_package("d1", "1.0")
    server.deliver("stuck", "onFix: branch", *packages, files={"requirements.txt": "c1==1.0\n"})
    server.publish(make_python_advisory("c1", "2.0"), make_python_advisory("d1", ""))
    wait_until(lambda: "2 CRITICAL" in (server.get("/services/stuck")["service"]["at_risk"] or ""), 40)
    server.look()
    assert server.list_fixes("stuck") == []
    assert list(server.services.sources.host.list_heads("stuck")) == ["main"]


def test_a_branch_of_that_name_which_people_made_is_left_alone(server: System) -> None:
    files = {"requirements.txt": "e1==1.0\n"}
    image = server.deliver("taken", "onFix: branch", make_python_package("e1", "1.0"), files=files)
    plan = FixPlan(FixKind.CHANGE, (FixChange("e1", "1.0", "2.0"),))
    branch = make_branch_name(make_fix_id("taken", image, FixAction.BRANCH, plan))
    foreign_commit = server.push("taken", files={**files, "x": "y"}, branch=branch)
    server.publish(make_python_advisory("e1", "2.0"))
    fix = server.wait_for_fix("taken", "Failed")
    assert branch in fix["reason"]
    server.look()
    assert server.services.sources.host.list_heads("taken")[branch] == foreign_commit
    (event,) = server.list_announcements("taken")
    assert "branch" not in event
    assert event["summary"] == fix["reason"]
