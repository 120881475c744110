"""A server with people of every role, and a pipeline of each outcome, for the console's scenarios."""

from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.identity.model import Role

HOSTILE = '<script>alert(1)</script>"\u202e'


class Site:
    """A server with people, and one pipeline of each outcome."""

    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        self.approved_image = server.plan_image("web", PlannedFindings({}, {"LOW": 2}))
        server.deploy_image(self.approved_image)
        self.rejected_image = server.plan_image("api", PlannedFindings({"CRITICAL": 1, "LOW": 2}, {"MEDIUM": 1}))
        self.execution = server.request_approval(self.rejected_image)
        server.end_scan(self.rejected_image)
        assert server.answer(self.execution) == "Rejected"
        self.unread_image = server.plan_image("jobs", PlannedFindings({}, status="UNREAD"))
        self.undetermined_approval = server.request_approval(self.unread_image)
        server.end_scan(self.unread_image)
        server.answer(self.undetermined_approval)
        self.waiting = server.request_approval(server.plan_image("slow", PlannedFindings({})))
        server.post(
            "/waivers", {"owner": "ana", "reason": HOSTILE, "vulnerability": "CVE-2026-1", "until": "2999-01-01"}
        )
        self.tokens = {Role.ADMIN: server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]}
        server.client.headers["Authorization"] = f"Bearer {self.tokens[Role.ADMIN]}"
        for role in Role:
            if role is not Role.ADMIN:
                person = {"name": role.value, "roles": [role.value], "email": f"{role.value}@example.org"}
                server.post("/principals", person)
                self.tokens[role] = self.issue_token(role.value)

    def issue_token(self, principal: str, **options: object) -> str:
        text: str = self.server.post("/tokens", {"principal": principal, **options})["text"]
        return text
