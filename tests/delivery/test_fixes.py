"""Fixes: how the files of a repository make the upgrades with which an image passes."""

import json
from collections.abc import Mapping

import pytest

from dockgate.delivery.fixes import (
    BaseChange,
    Fix,
    FixChange,
    FixDetails,
    FixKind,
    FixPlan,
    LockUpdate,
    NeededUpgrade,
    ProjectFiles,
    make_branch_name,
    make_commit_message,
    make_fix_id,
    plan_fix,
)
from dockgate.delivery.model import FixAction
from dockgate.gate.model import Upgrade
from dockgate.scanner.model import Package

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def make_upgrade(name: str, ecosystem: str = "PyPI", old: str = "1.0", new: str = "2.0") -> NeededUpgrade:
    kind = {"PyPI": "pypi", "npm": "npm", "Go": "golang"}.get(ecosystem, "deb/debian")
    purl = f"pkg:{kind}/{name}@{old}"
    package = Package(name, old, purl, ecosystem, name, old, "somewhere")
    return NeededUpgrade(Upgrade(purl, name, old, new, ("CVE-2026-1",)), package)


def make_files(texts: Mapping[str, str], *names: str) -> ProjectFiles:
    texts = {"Dockerfile": "FROM base\n", **texts}
    return ProjectFiles("Dockerfile", texts, frozenset((*texts, *names)))


def test_a_pinned_requirement_is_a_change_of_its_files() -> None:
    texts = {"requirements.txt": "flask==1.0\n", "app/requirements-dev.txt": "flask==1.0\npytest==8\n"}
    plan = plan_fix(None, [make_upgrade("flask")], make_files(texts))
    assert plan.kind is FixKind.CHANGE
    assert plan.texts == {"requirements.txt": "flask==2.0\n", "app/requirements-dev.txt": "flask==2.0\npytest==8\n"}
    assert plan.describe_changes() == ("flask: 1.0 → 2.0",)


def test_packages_that_nothing_pins_need_a_rebuild_alone() -> None:
    upgrades = [make_upgrade("openssl", "Debian:13"), make_upgrade("flask"), make_upgrade("lodash", "npm")]
    for step in (
        "RUN apt-get upgrade -y",
        "copy \\\n  --from=registry/tools:13 /usr /usr",
        "ADD https://example.org/a /",
    ):
        plan = plan_fix(None, upgrades, make_files({"Dockerfile": f"FROM base\n{step}\n"}))
        assert (plan.kind, plan.texts, plan.obstacles) == (FixKind.REBUILD, {}, ())
        assert len(plan.changes) == 3


def test_packages_among_the_files_of_the_repository_need_no_rebuild() -> None:
    dockerfile = "FROM scratch\n# RUN nothing\nCOPY rootfs /\nADD app.tar /\n"
    for upgrade in (make_upgrade("openssl", "Debian:13"), make_upgrade("flask"), make_upgrade("lodash", "npm")):
        plan = plan_fix(None, [upgrade], make_files({"Dockerfile": dockerfile}))
        assert plan.kind is FixKind.BY_HAND
        assert plan.obstacles == (
            f"Dockerfile installs nothing: {upgrade.upgrade.name} is among the files of the repository",
        )


def test_a_newer_base_image_is_a_change_where_the_dockerfile_has_its_digest_and_a_rebuild_where_not() -> None:
    pinned_files = make_files({"Dockerfile": f"FROM base:13@{OLD}\n"})
    plan = plan_fix(BaseChange(f"registry/base:13@{OLD}", NEW), [], pinned_files)
    assert (plan.kind, plan.texts) == (FixKind.CHANGE, {"Dockerfile": f"FROM base:13@{NEW}\n"})
    plan = plan_fix(BaseChange("registry/base:13", NEW), [], make_files({"Dockerfile": "FROM base:13\n"}))
    assert (plan.kind, plan.texts) == (FixKind.REBUILD, {})
    assert plan.describe_changes() == (f"registry/base:13 has a newer image, {NEW}",)
    plan = plan_fix(None, [], make_files({"Dockerfile": "FROM base:13\n"}))
    assert (plan.kind, plan.describe_changes()) == (FixKind.REBUILD, ("a new build of the same source",))


@pytest.mark.parametrize(
    ("upgrade", "texts", "names", "reason"),
    [
        (make_upgrade("flask"), {"requirements.txt": "flask==1.0 --hash=sha256:a\n"}, (), "with hashes"),
        (make_upgrade("flask"), {}, ("poetry.lock",), "poetry.lock is made by your package manager"),
        (make_upgrade("lodash", "npm"), {"package.json": "{}"}, ("web/yarn.lock",), "web/yarn.lock is made by"),
        (make_upgrade("openssl", "Debian:13"), {"Dockerfile": "RUN apt-get install openssl=1.0"}, (), "fixed version"),
        (make_upgrade("example.org/x", "Go"), {}, (), "in the build of your Go"),
        (make_upgrade("flask"), {"Dockerfile": "RUN pip install flask==1.0"}, (), "fixed version"),
    ],
)
def test_an_upgrade_that_no_file_makes_is_left_to_people(
    upgrade: NeededUpgrade, texts: dict[str, str], names: tuple[str, ...], reason: str
) -> None:
    texts = {"other/requirements.txt": "jinja2==1.0\n", **texts}
    plan = plan_fix(None, [upgrade, make_upgrade("jinja2")], make_files(texts, *names))
    assert (plan.kind, plan.texts, plan.locks) == (FixKind.BY_HAND, {}, ())
    assert len(plan.changes) == 2
    assert any(reason in obstacle for obstacle in plan.obstacles), plan.obstacles


def test_an_npm_dependency_changes_the_file_and_has_its_lockfile_made() -> None:
    manifest = json.dumps({"dependencies": {"lodash": "^1.0"}})
    lock = json.dumps({"packages": {"node_modules/lodash": {}, "node_modules/deep": {}}})
    project = make_files({"web/package.json": manifest, "web/package-lock.json": lock, "other/package.json": "{}"})
    plan = plan_fix(None, [make_upgrade("lodash", "npm"), make_upgrade("deep", "npm")], project)
    assert plan.kind is FixKind.CHANGE
    assert json.loads(plan.texts["web/package.json"]) == {"dependencies": {"lodash": "^2.0"}}
    assert plan.locks == (LockUpdate("web", "web/package-lock.json", (("deep", "2.0"), ("lodash", "2.0"))),)


def test_the_same_changes_of_the_same_image_have_the_same_id_and_others_another() -> None:
    plan = plan_fix(None, [make_upgrade("flask")], make_files({"requirements.txt": "flask==1.0\n"}))
    identity = make_fix_id("shop", OLD, FixAction.BRANCH, plan)
    moved_plan = plan_fix(None, [make_upgrade("flask")], make_files({"requirements.txt": "# moved on\nflask==1.0\n"}))
    assert make_fix_id("shop", OLD, FixAction.BRANCH, moved_plan) == identity
    newer = plan_fix(None, [make_upgrade("flask", new="2.1")], make_files({"requirements.txt": "flask==1.0\n"}))
    ids = {
        identity,
        make_fix_id("shop", OLD, FixAction.BRANCH, newer),
        make_fix_id("shop", NEW, FixAction.BRANCH, plan),
        make_fix_id("web", OLD, FixAction.BRANCH, plan),
        make_fix_id("shop", OLD, FixAction.NOTIFY, plan),
    }
    assert len(ids) == 5
    assert make_branch_name(identity).startswith("dockgate/fix-")


def make_fix(action: FixAction, kind: FixKind, *changes: str) -> Fix:
    details = FixDetails(changes, ("CVE-2026-1",))
    return Fix("f1", "shop", OLD, "shop/app", kind, action, details, "shop", "c" * 40, "2026-11-28T00:00:00Z")


def test_a_commit_says_what_it_changes_why_and_what_it_leaves_undone() -> None:
    packages = (FixChange("@scope/a", "1", "2"), FixChange("b", "1", "2"), FixChange("c", "1", "2"))
    plan = FixPlan(FixKind.CHANGE, (FixChange("registry/base:13", OLD, NEW, is_base=True), *packages))
    fix = make_fix(FixAction.BRANCH, FixKind.CHANGE, *plan.describe_changes())
    message = make_commit_message(fix, plan, ["package-lock.json is not changed."])
    assert message.splitlines()[0] == "Upgrade base:13, a, b and 1 more"
    for text in (
        f"- FROM registry/base:13: {OLD} → {NEW}",
        "- @scope/a: 1 → 2",
        "- c: 1 → 2",
        "Clears CVE-2026-1.",
        "package-lock.json is not changed.",
        "Dockgate-Fix: f1",
    ):
        assert text in message


@pytest.mark.parametrize("kind", FixKind)
@pytest.mark.parametrize("action", FixAction)
def test_the_setting_decides_and_a_change_of_files_is_never_deployed_without_people(
    action: FixAction, kind: FixKind
) -> None:
    planned_fix = make_fix(action, kind, "a: 1 → 2")
    assert planned_fix.should_start_execution == (action is FixAction.REBUILD and kind is FixKind.REBUILD)
    assert planned_fix.should_make_branch == (action is not FixAction.NOTIFY and kind is FixKind.CHANGE)
