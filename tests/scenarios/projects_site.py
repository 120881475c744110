"""A server with two projects, and callers who are limited to one of them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.app_transport import AppTransport
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.route_table import V
from tests.scenarios.server import SECRET, ServerSystem
from tests.store.factories import deploy

from dockgate.delivery.model import ExecutionId, RunState
from dockgate.delivery.service_model import Service, ServiceChange, ServiceEvent, TaskDefinition
from dockgate.identity.model import Role
from dockgate.shared.references import ImageReference
from dockgate.vulnerabilities.model import Severity

CVE = make_advisory("critical-fixed-0", Severity.CRITICAL, "2").id
# Only images of `bravo` have it.
BRAVO_CVE = make_advisory("high-fixed-0", Severity.HIGH, "2").id
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
        self.client = httpx.Client(base_url=server.url, transport=AppTransport(server.app, server.web))
        self.values: dict[str, dict[str, str]] = {}
        for document in (POLICY, ASSIGNMENT, GATED):
            server.apply(document)
        for project in ("alpha", "bravo"):
            self.values[project] = self._project(project)
        self.shared_image = self._plan_foreign_image("shared", PlannedFindings({"CRITICAL": 1}))
        for project in ("bravo", "alpha"):
            self.push(self.shared_image, f"{project}/base", "1")
        self.bravo_only = self._plan_foreign_image("only-bravo", PlannedFindings({"CRITICAL": 1, "HIGH": 1}))
        self.push(self.bravo_only, "bravo/base", "2")
        self.promoted_image = self._plan_foreign_image("promoted", PlannedFindings({"CRITICAL": 1}))
        for project in ("alpha", "bravo"):
            self.push(self.promoted_image, f"{project}/base", "4")
        # One that cannot be read, and one that is not pushed yet.
        self.unread_image = self._plan_foreign_image("unread", PlannedFindings(status="STRANGE"))
        self.push(self.unread_image, "bravo/base", "3")
        self.unknown = self._plan_foreign_image("unknown", PlannedFindings())
        waiver = {"owner": "bravo-owner", "reason": "bravo-reason", "until": "2999-01-01", "vulnerability": CVE}
        self.waiver = server.post("/waivers", {**waiver, "repository": "bravo/base"})["waiver"]["id"]
        self._run("bravo-base", f"bravo/base@{self.shared_image}")
        alpha_only = self._plan_foreign_image("only-alpha", PlannedFindings({"CRITICAL": 1}))
        self.push(alpha_only, "alpha/base", "5")
        self._run("shop", f"bravo/base@{self.bravo_only}", f"alpha/base@{alpha_only}")
        for image, name in ((self.shared_image, "1"), (self.bravo_only, "2")):
            self._request_approval("alpha", f"bravo/base@{image}", f"bravo-run-{name}")
        self._request_approval("alpha", f"alpha/base@{self.shared_image}", "alpha-run")
        self.tokens = {"admin": server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]}
        for name, limits in LIMITS.items():
            self.tokens[name] = self.post("/tokens", {"principal": "admin", **limits})["text"]
        roles = [{"role": role.value, "repositories": "alpha*"} for role in Role]
        self.post("/principals", {"name": "project", "roles": [], "project_roles": roles})
        self.tokens["project"] = self.post("/tokens", {"principal": "project"})["text"]

    def _project(self, project: str) -> dict[str, str]:
        image = self.server.plan_image(project, PlannedFindings({"CRITICAL": 1} if project == "bravo" else {"LOW": 1}))
        execution = self.server.request_approval_after_scan(image)
        wait_until(lambda: self.server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
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

    def _plan_foreign_image(self, name: str, findings: PlannedFindings) -> str:
        image = self.server.plan_foreign_image(name, findings)
        self.server.scan_may_end[image].set()
        return image

    def push(self, image: str, repository: str, tag: str) -> None:
        """The registry's notification of a push."""
        self.server.registry.push(repository, tag, image)
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
        wait_until(lambda: self._is_judged(image, repository))

    def _run(self, service: str, *images: str) -> None:
        """A service with one task that the pipeline of `bravo` deployed, with a revision for each image.

        A rollout failed and a task was restarted under the first one.
        """
        services, rollouts = self.server.store.services, self.server.store.rollouts
        services.put(Service(service, "podman", 1, 0), TaskDefinition(service, 0, "app", None))
        for number, image in enumerate(images):
            repository, _, digest = f"{self.server.registry.address}/{image}".partition("@")
            definition = TaskDefinition(service, 0, "app", ImageReference(repository, digest))
            revision = services.register(service, definition, deploy(f"deploy-{number}")).revision
            deployed_by = ExecutionId(self.values["bravo"]["execution_id"]) if number else None
            services.set_revision(service, revision, deployed_by)
            if not number:
                now = "2026-01-01T00:00:00Z"
                rollout = rollouts.begin(service, ServiceChange(desired_count=2), "bravo-person", now)
                assert rollout is not None
                rollouts.end(rollout, RunState.FAILED, None, "bravo-reason", now)
                services.record_event(ServiceEvent(f"restart/{service}/t/{now}", service, now, "bravo-reason"))

    def _is_judged(self, image: str, repository: str) -> bool:
        records = self.server.store.verdicts.list_of_image(image)
        return any(record.cause.startswith(f"push/{repository}@") for record in records)

    def _request_approval(self, pipeline: str, image: str, execution: str) -> None:
        """A request of a pipeline elsewhere, which chooses its name itself."""
        body = {"pipeline": pipeline, "stage": "s", "execution": execution}
        approval = self.server.post("/approvals", {**body, "image": f"{self.server.registry.address}/{image}"})
        path = f"/approvals/{approval['approval']['id']}"
        wait_until(lambda: self.server.get(path)["state"] != "Waiting")

    def post(self, path: str, body: object = None) -> Any:
        answer = self.client.post(f"{V}{path}", json=body, headers=self.make_headers("admin"))
        assert answer.is_success, answer.text
        return answer.json()

    def call(self, method: str, path: str, who: str, body: object = None) -> httpx.Response:
        return self.client.request(method, f"{V}{path}", json=body, headers=self.make_headers(who))

    def make_headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}", "Accept": "application/json, text/html"}

    def get(self, path: str, who: str) -> Answer:
        """An answer, without what it repeats of the request."""
        answer = self.client.get(path, headers=self.make_headers(who))
        text = answer.text
        words = re.split(r"[?&=/]", path)
        for part in sorted({path, *words} - {""}, key=len, reverse=True):
            text = text.replace(part, "") if "bravo" in part else text
        return Answer(answer.status_code, text)
