"""Every route × callers who are limited to the project `alpha` × what belongs to the project `bravo`.

No answer to such a caller may have a word of `bravo` in it: every name, reason and note of that project has this word.
Some images are in both projects; an outside pipeline of `bravo` calls itself `alpha`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, until
from tests.scenarios.planned_images import advisory
from tests.scenarios.route_table import ROUTES, V
from tests.scenarios.server import SECRET, ServerSystem
from tests.scenarios.test_findings import trivy

from dockgate.delivery.model import RunState
from dockgate.delivery.service_model import Service, ServiceChange, ServiceEvent, TaskDefinition
from dockgate.identity.model import Role
from dockgate.shared.references import ImageReference
from dockgate.vulnerabilities.model import Severity

CVE = advisory("critical-fixed-0", Severity.CRITICAL, "2").id
ASSIGNMENT = """\
kind: PolicyAssignment
name: bravo
repositories: ["bravo/**"]
policy: bravo-rules
owners: ["role:security"]
"""
GATED = "kind: PolicyAssignment\nname: gated\nrepositories: [alpha/empty]\npolicy: default\npull: approved\n"
POLICY = "kind: Policy\nname: bravo-rules\nrules:\n  max_findings: {CRITICAL: 9}\n"
LIMITS: Mapping[str, Mapping[str, Any]] = {
    "repository token": {"repositories": ["alpha*"]},
    "pipeline token": {"pipelines": ["alpha*"]},
    "token": {"repositories": ["alpha*"], "pipelines": ["alpha*"]},
}
LIMITED = (*LIMITS, "project")


class Answer(NamedTuple):
    """An answer. `text` lacks the words that the request itself had."""

    status: int
    text: str


class Projects:
    """A server with two projects, and callers who are limited to one of them."""

    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self.values: dict[str, dict[str, str]] = {}
        for document in (POLICY, ASSIGNMENT, GATED):
            server.apply(document)
        for project in ("alpha", "bravo"):
            self.values[project] = self._project(project)
        self.shared = self._foreign("shared", PlannedFindings({"CRITICAL": 1}))
        for project in ("bravo", "alpha"):
            self.push(self.shared, f"{project}/base", "1")
        self.bravo_only = self._foreign("only-bravo", PlannedFindings({"CRITICAL": 1}))
        self.push(self.bravo_only, "bravo/base", "2")
        self.promoted = self._foreign("promoted", PlannedFindings({"CRITICAL": 1}))
        for project in ("alpha", "bravo"):
            self.push(self.promoted, f"{project}/base", "4")
        # One that cannot be read, and one that is not pushed yet.
        self.unread = self._foreign("unread", PlannedFindings(status="STRANGE"))
        self.push(self.unread, "bravo/base", "3")
        self.unknown = self._foreign("unknown", PlannedFindings())
        waiver = {"owner": "bravo-owner", "reason": "bravo-reason", "until": "2999-01-01", "vulnerability": CVE}
        self.waiver = server.post("/waivers", {**waiver, "repository": "bravo/base"})["waiver"]["id"]
        self._run("bravo-base", f"bravo/base@{self.shared}")
        alpha_only = self._foreign("only-alpha", PlannedFindings({"CRITICAL": 1}))
        self.push(alpha_only, "alpha/base", "5")
        self._run("shop", f"bravo/base@{self.bravo_only}", f"alpha/base@{alpha_only}")
        for image, name in ((self.shared, "1"), (self.bravo_only, "2")):
            self._external("alpha", f"bravo/base@{image}", f"bravo-run-{name}")
        self._external("alpha", f"alpha/base@{self.shared}", "alpha-run")
        self.tokens = {"admin": server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]}
        for name, limits in LIMITS.items():
            self.tokens[name] = self.post("/tokens", {"principal": "admin", **limits})["text"]
        roles = [{"role": role.value, "repositories": "alpha*"} for role in Role]
        self.post("/principals", {"name": "project", "roles": [], "project_roles": roles})
        self.tokens["project"] = self.post("/tokens", {"principal": "project"})["text"]

    def _project(self, project: str) -> dict[str, str]:
        image = self.server.image(project, PlannedFindings({"CRITICAL": 1} if project == "bravo" else {"LOW": 1}))
        execution = self.server.early_approval(image)
        until(lambda: self.server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
        return {
            "name": project,
            "repository": project,
            "execution_id": execution,
            "approval_id": f"{execution}/ContainerVulnerabilityAssessment/Approval/1",
            "digest": image,
            "verdict": self.server.get(f"/images/{image}")["verdicts"][0]["digest"],
            "stage": "Build",
            "action": "Build",
            "attempt": "1",
        }

    def _foreign(self, name: str, findings: PlannedFindings) -> str:
        image = self.server.foreign(name, findings)
        self.server.scan_may_end[image].set()
        return image

    def push(self, image: str, repository: str, tag: str) -> None:
        """The registry's notification of a push."""
        media_type = "application/vnd.oci.image.manifest.v1+json"
        target = {"mediaType": media_type, "digest": image, "repository": repository, "tag": tag}
        self.server.events += 1
        event = {"id": f"push-{self.server.events}", "action": "push", "target": target}
        answer = slow_http.post(
            f"{self.server.url}/registry/events",
            json={"events": [event]},
            headers={"Authorization": f"Bearer {SECRET}"},
        )
        assert answer.is_success, answer.text
        until(lambda: self._is_judged(image, repository))

    def _run(self, service: str, *images: str) -> None:
        """A service without tasks that the pipeline of `bravo` deployed, with a revision for each image.

        A rollout failed and a task was restarted under the first one.
        """
        services, rollouts = self.server.store.services, self.server.store.rollouts
        services.put(Service(service, "podman", 0, 0), TaskDefinition(service, 0, "app", None))
        for number, image in enumerate(images):
            repository, _, digest = f"{self.server.registry.address}/{image}".partition("@")
            definition = TaskDefinition(service, 0, "app", ImageReference(repository, digest))
            revision = services.register(service, definition, f"deploy {number}").revision
            services.set_revision(service, revision, self.values["bravo"]["execution_id"] if number else "")
            if not number:
                now = "2026-01-01T00:00:00Z"
                rollout = rollouts.begin(service, ServiceChange(desired_count=1), "bravo-person", now)
                assert rollout is not None
                rollouts.end(rollout, RunState.FAILED, None, "bravo-reason", now)
                services.record_event(ServiceEvent(f"restart/{service}/t/{now}", service, now, "bravo-reason"))

    def _is_judged(self, image: str, repository: str) -> bool:
        records = self.server.store.verdicts.of_image(image)
        return any(record.cause.startswith(f"push/{repository}@") for record in records)

    def _external(self, pipeline: str, image: str, execution: str) -> None:
        """A request of a pipeline elsewhere, which chooses its name itself."""
        body = {"pipeline": pipeline, "stage": "s", "execution": execution}
        approval = self.server.post("/approvals", {**body, "image": f"{self.server.registry.address}/{image}"})
        path = f"/approvals/{approval['approval']['id']}"
        until(lambda: self.server.get(path)["state"] != "Waiting")

    def post(self, path: str, body: object = None) -> Any:
        answer = self.client.post(f"{V}{path}", json=body, headers=self.headers("admin"))
        assert answer.is_success, answer.text
        return answer.json()

    def call(self, method: str, path: str, who: str, body: object = None) -> httpx.Response:
        return self.client.request(method, f"{V}{path}", json=body, headers=self.headers(who))

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}", "Accept": "application/json, text/html"}

    def get(self, path: str, who: str) -> Answer:
        """An answer, without what it repeats of the request."""
        answer = self.client.get(path, headers=self.headers(who))
        text = answer.text
        words = re.split(r"[?&=/]", path)
        for part in sorted({path, *words} - {""}, key=len, reverse=True):
            text = text.replace(part, "") if "bravo" in part else text
        return Answer(answer.status_code, text)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projects]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        made = Projects(server)
        yield made
        made.client.close()


def paths(projects: Projects) -> Iterator[str]:
    """Every path that can be read, with values of `alpha` and of images in both projects; lists with their filters."""
    for route in ROUTES:
        method, _, template = route.partition(" ")
        if method != "GET" or template in ("/live", "/signin/provider/return"):
            continue
        for image in (projects.values["alpha"]["digest"], projects.shared):
            for verdict in projects.server.store.verdicts.of_image(image):
                is_verdict = "/verdicts/" in template
                values = {**projects.values["alpha"], "digest": verdict.digest if is_verdict else image}
                yield re.sub(r"\{(\w+)(:path)?\}", lambda match: values.get(match[1], "none"), template)  # noqa: B023
        absent = dict.fromkeys(("name", "repository", "execution_id", "approval_id"), "alpha-9")
        values = {**projects.values["alpha"], **absent, "digest": projects.unknown}
        yield re.sub(r"\{(\w+)(:path)?\}", lambda match: values.get(match[1], "none"), template)  # noqa: B023
    start = projects.shared[7:13], projects.bravo_only[7:13], projects.values["bravo"]["verdict"][7:13]
    name = projects.values["bravo"]["execution_id"]
    for prefix in ("", V):
        yield f"{prefix}/images?limit=1000"
        for query in ("include_moved=true", "sort=severity", "sort=name", "repository=brav*", "repository=*/*"):
            yield f"{prefix}/images?{query}"
        for query in (
            "running=true",
            "severity=CRITICAL",
            "fixable=true",
            "package=critical-fixed-0",
            "status=Approved",
        ):
            yield f"{prefix}/images?{query}&include_moved=true"
    for question in (CVE, "critical-fixed-0", "pkg:deb/debian/critical-fixed-0", "brav", "only-bravo"):
        yield f"{V}/exposure?q={question}&include_moved=true"
        yield f"{V}/packages?q={question}"
        for form in ("html", "csv", "json"):
            yield f"/exposure/report?q={question}&form={form}"
        yield f"/packages/{question}"
    yield "/running/shop"
    yield f"{V}/services/shop"
    yield f"/vulnerabilities/{CVE}"
    yield f"{V}/vulnerabilities/{CVE}"
    yield f"{V}/events?after=0&limit=1000"
    yield f"{V}/approvals?limit=1000"
    for words in (*start, "brav", name, projects.waiver):
        yield f"/search?q={words}"
    for kind in ("image", "verdict"):
        for digits in start:
            yield f"{V}/digests/{kind}/{digits}"


@pytest.mark.parametrize("who", LIMITED)
def test_no_answer_names_what_is_in_another_project(projects: Projects, who: str) -> None:
    seen = []
    for path in dict.fromkeys(paths(projects)):
        answer = projects.get(path, who)
        assert answer.status < 500, (path, answer.text)
        if match := re.search(r".{0,80}bravo.{0,80}", answer.text):
            seen.append((path, match[0]))
        if projects.bravo_only in answer.text:
            seen.append((path, projects.bravo_only))
    assert not seen, "\n".join(f"{path}: {text}" for path, text in seen)


def test_an_admin_sees_all_of_it(projects: Projects) -> None:
    """What the test above looks for is there."""
    count = sum("bravo" in projects.get(path, "admin").text for path in dict.fromkeys(paths(projects)))
    assert count > 50


@pytest.mark.parametrize("who", ["repository token", "token", "project"])
def test_of_a_service_that_ran_an_image_of_another_project_the_own_part_is_shown(projects: Projects, who: str) -> None:
    for caller, revisions, deployed in ((who, [3], None), ("admin", [3, 2, 1], "bravo")):
        view = projects.call("GET", "/services/shop", caller).json()
        assert [definition["revision"] for definition in view["definitions"]] == revisions
        assert len(view["rollouts"]) == len(view["events"]) == (caller == "admin")
        exposure = projects.call("GET", f"/exposure?q={CVE}", caller).json()
        pipelines = {entry["service"]: entry["pipeline"] for entry in exposure["services"]}
        assert pipelines["shop"] == deployed


@pytest.mark.parametrize("who", LIMITED)
def test_what_is_in_another_project_is_answered_like_what_does_not_exist(projects: Projects, who: str) -> None:
    def ask(name: str, number: int) -> list[tuple[int, str]]:
        approval = f"/approvals/{name}-{number}/ContainerVulnerabilityAssessment/Approval/1"
        image = f"{projects.server.registry.address}/alpha/base@{projects.shared}"
        request = {"pipeline": "alpha", "stage": "s", "execution": f"oracle-{who}", "image": image, "service": name}
        reason = {"reason": "x", "until": "2999-01-01"}
        calls: list[tuple[str, str, object]] = [("GET", f"{approval}{end}", None) for end in ("", "/votes", "/answer")]
        calls += [("POST", f"{approval}/vote", {"yes": True}), ("POST", f"{approval}/override", reason)]
        calls += [("POST", f"{approval}/reject", {"token": "x", **reason}), ("GET", f"/services/{name}", None)]
        answers = [projects.call(*call[:2], who, call[2]) for call in calls]
        if who != "pipeline token":  # reaches no repository, so it cannot request
            answers.append(projects.call("POST", "/approvals", who, request))
        return [
            (answer.status_code, answer.text.replace(f"{name}-{number}", "").replace(name, "")) for answer in answers
        ]

    for path in (f"/approvals/{projects.values['bravo']['approval_id']}", "/services/bravo"):
        assert projects.call("GET", path, "admin").status_code == 200
    answers = ask("bravo", 1)
    assert {status for status, _ in answers} == {404}, answers
    assert answers == ask("nonesuch", 9)


def test_a_caller_who_may_read_an_approval_is_denied_more(projects: Projects) -> None:
    roles = [{"role": "approver", "repositories": "alpha*"}]
    projects.post("/principals", {"name": "reader", "roles": ["viewer"], "project_roles": roles})
    projects.tokens["reader"] = projects.post("/tokens", {"principal": "reader"})["text"]
    path = f"/approvals/{projects.values['bravo']['approval_id']}"
    assert projects.call("GET", path, "reader").status_code == 200
    assert projects.call("POST", f"{path}/vote", "reader", {"yes": True}).status_code == 403


@pytest.mark.parametrize("who", LIMITED)
def test_a_self_chosen_name_of_a_pipeline_opens_no_other_repository(projects: Projects, who: str) -> None:
    body = {"pipeline": "alpha", "stage": "s", "execution": f"forged-{who}", "service": "bravo"}
    image = f"{projects.server.registry.address}/bravo/base@{projects.bravo_only}"
    answer = projects.call("POST", "/approvals", who, {**body, "image": image})
    assert answer.status_code == 403, answer.text
    for path in (f"/images/{projects.bravo_only}", f"/images/{projects.bravo_only}/findings"):
        answer = projects.call("GET", path, who)
        assert answer.status_code == 403, answer.text
        assert "bravo" not in answer.text


@pytest.mark.parametrize("who", LIMITED)
def test_naming_an_own_repository_opens_no_image_of_another(projects: Projects, who: str) -> None:
    """The digest may be known: from a log, a build that gives the same bytes again, or a message."""
    unread = projects.unread
    for image in (projects.bravo_only, unread, projects.unknown):
        answer = projects.call("POST", f"/images/{image}/scan", who, {"repository": "alpha/empty"})
        assert answer.status_code in (403, 404), answer.text
        body = {"pipeline": "alpha", "stage": "s", "execution": f"empty-{who}-{image[7:15]}"}
        reference = f"{projects.server.registry.address}/alpha/empty@{image}"
        answer = projects.call("POST", "/approvals", who, {**body, "image": reference})
        assert answer.status_code in (403, 404), answer.text
        assert projects.call("GET", f"/images/{image}", who).status_code == 403
    scan = projects.server.store.images.scan(unread)
    assert scan is not None
    assert scan.repository == "bravo/base"
    assert projects.server.store.images.scan(projects.unknown) is None


@pytest.mark.parametrize("who", LIMITED)
def test_a_report_on_an_image_that_is_elsewhere_too_is_refused(projects: Projects, who: str) -> None:
    """It would count there: it can reject an image, and vouch for one that could not be read."""
    report = {"SchemaVersion": 2, "ArtifactName": "x", "Results": []}
    for image in (projects.shared, projects.promoted):
        answer = projects.call("POST", f"/images/{image}/findings", who, report)
        assert answer.status_code == 403, answer.text
        assert not projects.server.store.reports.for_image(image)


def test_an_assignment_for_others_too_names_nobody_of_them(projects: Projects) -> None:
    document = """\
kind: PolicyAssignment
name: {}
repositories: [{}]
policy: default
allowed:
- {{policies: [bravo-rules], principals: [bravo-lead]}}
- {{policies: [reference-2022], principals: [project, bravo-lead]}}
owners: [bravo-lead]
"""
    projects.post("/principals", {"name": "bravo-lead", "roles": ["viewer"]})
    for name, repositories in (("both", "alpha/base, bravo/other/**"), ("own", "alpha/lead")):
        content = document.format(name, repositories)
        projects.client.post(f"{V}/apply", content=content, headers=projects.headers("admin")).raise_for_status()
    try:
        shown = {entry["name"]: entry for entry in projects.call("GET", "/policy-assignments", "project").json()}
        full = {entry["name"]: entry for entry in projects.call("GET", "/policy-assignments", "admin").json()}
    finally:
        for name in ("both", "own"):
            path = f"{V}/policy-assignments/{name}"
            projects.client.delete(path, headers=projects.headers("admin")).raise_for_status()
    both = shown["both"]
    assert (both["repositories"], both["owners"]) == (["alpha/base"], [])
    (allowed,) = both["allowed"]
    assert (allowed["policies"], allowed["principals"]) == (["reference-2022"], ["project"])
    assert (shown["own"], full["both"]["owners"]) == (full["own"], ["bravo-lead"])


def test_a_report_vouches_only_where_its_author_may_accept_risks(projects: Projects) -> None:
    """It was uploaded before the image was pushed to the repository of the other project."""
    limits = (("security", "alpha/*"), ("developer", "alpha/*"), ("developer", "bravo/*"))
    roles = [{"role": role, "repositories": repositories} for role, repositories in limits]
    projects.post("/principals", {"name": "eve", "roles": [], "project_roles": roles})
    projects.tokens["eve"] = projects.post("/tokens", {"principal": "eve"})["text"]
    image = projects._foreign("moved", PlannedFindings(status="STRANGE"))
    projects.push(image, "alpha/moved", "1")
    report = trivy(projects.server, image)
    answer = projects.client.post(f"{V}/images/{image}/findings", content=report, headers=projects.headers("eve"))
    assert (answer.status_code, answer.json()[0]["vouched"]) == (201, True)
    projects.push(image, "bravo/moved", "1")
    for repository, state in (("alpha/moved", "Approved"), ("bravo/moved", "Rejected")):
        reference = f"{projects.server.registry.address}/{repository}@{image}"
        body = {"pipeline": "p", "stage": "s", "execution": repository, "image": reference}
        approval = projects.call("POST", "/approvals", "eve", body).json()["approval"]["id"]
        answer = projects.call("GET", f"/approvals/{approval}/answer?wait=20", "eve")
        assert answer.json()["state"] == state, answer.text


def test_each_repository_of_an_image_has_its_own_verdicts(projects: Projects) -> None:
    """By their own policies: one of `bravo` approves what the one of `alpha` rejects."""
    page = projects.call("GET", "/images?repository=*/base", "admin").json()
    states = {(entry["repository"], entry["digest"]): entry["status"] for entry in page["images"]}
    assert states["bravo/base", projects.shared] == "Approved"
    assert states["alpha/base", projects.shared] == "Rejected"
    view = projects.call("GET", f"/images/{projects.shared}", "project").json()
    assert {record["repository"] for record in view["verdicts"]} == {"alpha/base"}
    assert view["status"] == "Rejected"
    view = projects.call("GET", f"/images/{projects.shared}", "admin").json()
    assert {record["repository"] for record in view["verdicts"]} == {"alpha/base", "bravo/base"}


@pytest.mark.parametrize("who", LIMITED)
def test_messages_name_nothing_of_another_project(projects: Projects, who: str) -> None:
    image = f"{projects.server.registry.address}/alpha/base@{projects.shared}"
    body = {"pipeline": "alpha", "stage": "s", "execution": f"names-{who}", "image": image}
    for more in ({"policy": "none"}, {"service": "none"}, {"policy": "bravo-rules"}):
        answer = projects.call("POST", "/approvals", who, {**body, **more})
        assert answer.status_code >= 400
        assert more.get("policy") == "bravo-rules" or "bravo" not in answer.text, answer.text


@pytest.mark.parametrize("who", LIMITED)
def test_a_pull_check_says_nothing_of_an_image_that_is_elsewhere(projects: Projects, who: str) -> None:
    """`alpha/empty` gives out approved images only, so the answer says what the policy found."""
    for image in (projects.bravo_only, projects.unknown):
        answer = projects.call("GET", f"/registry/repositories/alpha/empty/pull/{image}", who)
        assert answer.status_code in (403, 404), answer.text


def test_a_token_for_a_pipeline_does_not_define_it(projects: Projects) -> None:
    """Its definition may name any repository and service."""
    page = projects.client.get("/pipelines/alpha/definition", headers=projects.headers("pipeline token"))
    assert page.is_success
    assert '<form method="post" action="/pipelines/alpha/definition"' not in page.text
    text = PIPELINE.format(name="alpha", repository="bravo", service="bravo", timeout="7d")
    headers = {**projects.headers("pipeline token"), "Sec-Fetch-Site": "same-origin"}
    fields = {"text": text, "version": "1"}
    answer = projects.client.post("/pipelines/alpha/definition", data=fields, headers=headers)
    assert answer.status_code == 403
    assert projects.server.store.pipelines.get("alpha").version == 1
