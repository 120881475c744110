"""Every route × every role × every state of a token: who is let in, and who is not.

A route that has no row in `ROUTES` fails the first test. A row says which permission the route requires, and whether a
token that is limited to some repositories and pipelines reaches it: "never", "always" (it tells nothing that such a
token should not know), or when it is limited to the "repository" or the "pipeline" that the call is about.
"""

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from tests.parts import wait_until
from tests.scenarios.app_transport import AppTransport
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.route_table import (
    ADMINISTER,
    ALLOWED_AND_REFUSED,
    ALWAYS,
    BODIES,
    NEVER,
    OPEN,
    PAGES,
    READ,
    ROUTES,
    V,
)
from tests.scenarios.server import ServerSystem

from dockgate import web
from dockgate.identity.model import PERMISSIONS, Role
from dockgate.web.authorization import GuardedRoute, list_permissions
from dockgate.web.recent_calls import FailedAuthentications

ROUTES |= PAGES


def iterate_routes(routes: list[BaseRoute]) -> Iterator[tuple[str, APIRoute]]:
    """Every route of an application."""
    for route in routes:
        assert isinstance(route, APIRoute), f"{route!r} is of no kind that this test knows"
        for method in sorted(route.methods or ()):
            yield f"{method} {route.path}", route


class Callers:
    """A server with a pipeline `mine` that has run, and tokens in every state."""

    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        image = server.plan_image("mine", PlannedFindings())
        execution = server.request_approval_after_scan(image)
        wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
        verdict = server.get(f"/images/{image}")["verdicts"][0]["digest"]
        self.values = {
            "name": "mine",
            "repository": "mine",
            "execution_id": execution,
            "approval_id": f"{execution}/ContainerVulnerabilityAssessment/Approval/1",
            "digest": image,
            "verdict": verdict,
            "task": server.get("/services/mine")["tasks"][0]["id"],
        }
        secret = server.store.approvals.get(self.values["approval_id"]).token
        reject = {f"POST {V}/approvals/{{approval_id:path}}/reject": {"token": secret, "reason": "no"}}
        self.bodies = {**BODIES, **reject}
        self.client = httpx.Client(base_url=server.url, transport=AppTransport(server.app, server.web))
        self.tokens = {"admin": server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]}
        for role in Role:
            if role is not Role.ADMIN:
                self._post("/principals", {"name": role.value, "roles": [role.value]})
                self.tokens[role.value] = self._issue_token(role.value)
        self.tokens["expired"] = self._issue_token("admin", days=1)
        server.clock.ahead += timedelta(days=2)
        revoked_token = self._issue_token("admin")
        self._post(f"/tokens/{revoked_token.split('_')[1]}/revoke")
        self._post("/principals", {"name": "gone", "roles": ["admin"]})
        disabled_token = self._issue_token("gone")
        self._post("/principals/gone/disable")
        self.tokens |= {
            "revoked": revoked_token,
            "disabled": disabled_token,
            "unknown": "dgt_000000000000_" + "0" * 64,
            "wrong secret": "_".join([*revoked_token.split("_")[:2], "0" * 64]),
            "nonsense": "x",
            "other repository": self._issue_token("admin", repositories=["other", "other/*"]),
            "other pipeline": self._issue_token("admin", pipelines=["other"]),
            "this repository": self._issue_token("admin", repositories=["mine", "mine/*"]),
            "this pipeline": self._issue_token("admin", pipelines=["mine"]),
        }
        for name, patterns in (("this", "mine/*"), ("other", "other/*")):
            roles = [{"role": "admin", "repositories": patterns}]
            self._post("/principals", {"name": f"{name}-project", "roles": [], "project_roles": roles})
            self.tokens[f"{name} project"] = self._issue_token(f"{name}-project")
        roles = [{"role": role.value, "repositories": "other/*"} for role in Role]
        self._post("/principals", {"name": "reader", "roles": ["viewer"], "project_roles": roles})
        self.tokens["reader with roles elsewhere"] = self._issue_token("reader")

    def _post(self, path: str, body: object = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        answer = self.client.post(f"{V}{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        answer_map: dict[str, str] = answer.json()
        return answer_map

    def _issue_token(self, principal: str, **fields: object) -> str:
        return self._post("/tokens", {"principal": principal, **fields})["text"]

    def ask(self, route: str, who: str, query: str = "", **fields: str) -> int:
        """The status of a call, complete where that decides about the caller, and else wrong: nothing comes of it."""
        self.server.app.state.failed_authentications = (
            FailedAuthentications()
        )  # each refusal by its own reason, not for their number
        method, _, template = route.partition(" ")
        values = {**self.values, "digest": self.values["verdict" if "verdicts" in template else "digest"]}
        path = re.sub(r"\{(\w+)(:path)?\}", lambda answer_map: values.get(answer_map[1], "none"), template)
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        headers = {**headers, "Idempotency-Key": "table", **{key.replace("_", "-"): fields[key] for key in fields}}
        body = {"data" if route in PAGES else "json": self.bodies.get(route)}
        if route in PAGES:
            headers["Sec-Fetch-Site"] = "same-origin"
        answer = self.client.request(method, path + query, headers=headers, **body)  # type: ignore[arg-type]
        # A permitted caller may still be refused as pusher or starter, or find that something else is not there.
        by_permission = {403: r"needs the permission \w+|does not cover", 404: r"there is no (approval|service) .*mine"}
        is_by_permission = re.search(by_permission.get(answer.status_code, ""), answer.text)
        return answer.status_code if is_by_permission else ALLOWED_AND_REFUSED


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), sweep_seconds=3600) as server:
        callers_of_server = Callers(server)
        yield callers_of_server
        callers_of_server.client.close()


def test_every_route_checks_its_permission_before_it_reads_the_body(callers: Callers) -> None:
    answer_map = dict(iterate_routes(callers.server.app.routes))
    assert set(answer_map) == set(ROUTES), f"rows missing or too many: {set(answer_map) ^ set(ROUTES)}"
    for route, row in ROUTES.items():
        guards = list_permissions(answer_map[route].dependant)
        permissions = [(guard.permission, guard.alternative) for guard in guards]
        assert permissions == ([] if row.permission is None else [(row.permission, row.alternative)]), route
        assert isinstance(answer_map[route], GuardedRoute) or row is OPEN, route


def test_every_route_needs_a_valid_token(callers: Callers) -> None:
    """Every fourth route is called in another state of a token, too: that all ask the same guard is tested above."""
    states = itertools.cycle(("expired", "revoked", "disabled", "unknown", "wrong secret", "nonsense"))
    for number, (route, row) in enumerate(ROUTES.items()):
        if row is not OPEN:
            for state in ("", *([] if number % 4 else [next(states)])):
                assert callers.ask(route, state) == 401, (route, state)


def test_a_route_accepts_exactly_the_roles_with_its_permission(callers: Callers) -> None:
    """Each next route is called by another role that it accepts, and by another one that it does not.

    The permission that it needs is tested above.
    """
    for number, (route, row) in enumerate(ROUTES.items()):
        if row is not OPEN:
            accepted_roles = [role for role in Role if {row.permission, row.alternative} & PERMISSIONS[role]]
            refused_roles = [role for role in Role if role not in accepted_roles]
            for roles in filter(None, (accepted_roles, refused_roles)):
                role = roles[number % len(roles)]
                status = callers.ask(route, role.value)
                assert status < 500, route
                assert (status not in (401, 403)) == (role in accepted_roles), (route, role, status)


@pytest.mark.parametrize("kind", ["repository", "pipeline"])
def test_a_limited_token_has_access_to_its_limits_only(callers: Callers, kind: str) -> None:
    """Of a route that all such tokens reach, one of elsewhere is asked; of one that none reaches, one of this place."""
    for route, row in ROUTES.items():
        if row is not OPEN:
            if row.reach == ALWAYS or kind in row.reach:
                assert (callers.ask(route, f"other {kind}") == row.refusal) == (row.reach != ALWAYS), route
            if row.reach != ALWAYS:
                is_reached = kind in row.reach
                assert (callers.ask(route, f"this {kind}") not in (403, row.refusal)) == is_reached, route


def test_a_role_for_a_project_counts_there_only(callers: Callers) -> None:
    """Of a route that every role reaches, one of elsewhere is asked; of one that none reaches, one of this project."""
    for route, row in ROUTES.items():
        if row is not OPEN:
            is_granted = row.reach != NEVER and row.permission is not ADMINISTER
            if is_granted:
                assert (callers.ask(route, "other project") == row.refusal) == (row.reach != ALWAYS), route
            if row.reach != ALWAYS:
                assert (callers.ask(route, "this project") not in (403, row.refusal)) == is_granted, route
                may_read = READ in (row.permission, row.alternative)
                status = callers.ask(route, "reader with roles elsewhere")
                assert (status != 403) == may_read, (route, status)


def test_lists_show_only_what_is_in_the_project(callers: Callers) -> None:
    for path in ("repositories", "pipelines", "images", "services", "approvals"):
        counts = []
        for who in ("admin", "this project", "this repository", "other project", "other repository"):
            headers = {"Authorization": f"Bearer {callers.tokens[who]}"}
            answer_list = callers.client.get(f"{V}/{path}", headers=headers).json()
            counts.append(len(answer_list["images"] if path == "images" else answer_list))
        total, count, *other_counts = counts  # other cases request approvals of images elsewhere
        is_pipeline = path == "pipelines"  # a token's repositories say nothing of pipelines
        assert 0 < count <= total, path
        assert other_counts == [0 if is_pipeline else count, 0, 0], path


def test_pages_show_only_what_is_in_the_project(callers: Callers) -> None:
    for path in ("/", "/pipelines", "/images", "/running", "/repositories", "/search?q=mine"):
        for who, is_shown in (("this project", True), ("other project", False)):
            headers = {"Authorization": f"Bearer {callers.tokens[who]}", "Accept": "text/html"}
            page = callers.client.get(path, headers=headers)
            assert page.status_code in (200, 303), path
            links = [*re.findall(r'href="([^"]*)"', page.text), page.headers.get("location", "")]
            links = [link for link in links if link != f"{V}{path}"]  # the page's own call repeats the question
            links = [link for link in links if not link.startswith(f"{V}/search?q=")]  # the question itself
            is_linked = any(re.search(r"\bmine\b", link) for link in links) or "mine/app" in page.text
            assert is_linked == is_shown or (path == "/" and not is_linked), (path, who)


def test_a_limited_token_finds_only_visible_digests(callers: Callers) -> None:
    for kind in ("image", "verdict"):
        digest = callers.values["digest" if kind == "image" else "verdict"]
        for token, answer_map in (("this repository", [digest]), ("other repository", []), ("viewer", [digest])):
            headers = {"Authorization": f"Bearer {callers.tokens[token]}"}
            answer = callers.client.get(f"{V}/digests/{kind}/{digest[7:15]}", headers=headers)
            assert answer.json() == answer_map, (kind, token)


CONTRADICTIONS = {
    "X_HTTP_Method_Override": "GET",
    "X_Original_URL": f"{V}/health",
    "X_Rewrite_URL": f"{V}/health",
    "X_Forwarded_User": "admin",
    "X_Forwarded_For": "127.0.0.1",
    "X_Forwarded_Host": "localhost",
    "Forwarded": "for=127.0.0.1",
    "Git_Protocol": "git-upload-pack",
}


def test_no_header_or_parameter_contradicts_path_and_token(callers: Callers) -> None:
    """Each next route is called without a token, or by a viewer if it refuses one."""
    query = "?service=git-upload-pack&method=GET&token=x&access_token=x"
    for number, (route, row) in enumerate(ROUTES.items()):
        if row is not OPEN:
            who, refusal = ("viewer", 403) if number % 2 and row.permission != READ else ("", 401)
            assert callers.ask(route, who, query, **CONTRADICTIONS) == refusal, route


def test_routers_of_every_module_are_served(callers: Callers) -> None:
    import importlib
    import pkgutil

    served_calls = {route.dependant.call for _, route in iterate_routes(callers.server.app.routes)}
    for info in pkgutil.walk_packages(web.__path__, f"{web.__name__}."):
        module = importlib.import_module(info.name)
        for route in module.router.routes if hasattr(module, "router") else ():
            assert route.dependant.call in served_calls, f"{info.name}: {route.path}"
