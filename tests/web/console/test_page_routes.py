"""Which page leads back from a form and tells what it did, and by which names the server is reached."""

from inspect import getsource

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from dockgate.events.subject import EventSubject
from dockgate.web.console.routes import find_form_page
from dockgate.web.console.site import list_routers
from dockgate.web.page_paths import find_subject_path


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI()
    for router in list_routers():
        app.router.routes += router.routes
    return app


def make_request(app: FastAPI, path: str, referer: str | None = None) -> Request:
    headers = [(b"host", b"gate"), *([(b"referer", referer.encode())] if referer else [])]
    return Request({"type": "http", "method": "POST", "path": path, "headers": headers, "app": app})


@pytest.mark.parametrize("do", ["vote", "reject", "override"])
@pytest.mark.parametrize("approval", ["ext-1", "web-9/Gate/Approve/1"])
def test_the_form_of_an_approval_leads_back_to_it(app: FastAPI, approval: str, do: str) -> None:
    action = f"/approvals/{approval}/{do}"
    assert find_form_page(make_request(app, action)) == f"/approvals/{approval}"
    assert find_form_page(make_request(app, action, f"http://gate{action}")) == f"/approvals/{approval}"


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/policies/mine", "/policies/mine"),
        ("/policies/mine/remove", "/policies/mine"),
        ("/waivers/new", "/waivers/new"),
        ("/waivers/w-1/revoke", "/waivers/w-1"),
        ("/vex", "/vex"),
        ("/settings/sessions/abc/end", "/settings"),
        ("/theme", "/"),
    ],
)
def test_a_form_leads_back_to_its_page(app: FastAPI, path: str, page: str) -> None:
    assert find_form_page(make_request(app, path)) == page


def test_every_form_leads_back_to_a_page_that_is_not_its_own_address_only(app: FastAPI) -> None:
    """A path of a form alone, filled with names, is never taken for the path of a page."""
    routes = [(getattr(route, "path", ""), getattr(route, "methods", None) or set()) for route in app.router.routes]
    pages = {path for path, methods in routes if "GET" in methods}
    for path in {path for path, methods in routes if "POST" in methods} - pages:
        address = path.replace(":path}", "}").replace("{", "x").replace("}", "")
        assert find_form_page(make_request(app, address)) != address, path


def test_every_form_has_the_next_page_tell_what_it_did(app: FastAPI) -> None:
    routes = [route for route in app.router.routes if isinstance(route, APIRoute) and "POST" in (route.methods or ())]
    silent_forms = {route.path for route in routes if "redirect_to(" in getsource(route.endpoint)}
    assert silent_forms == {"/signin", "/signout", "/theme"}


@pytest.mark.parametrize(
    ("subject", "page"),
    [
        ("execution web-1", "/executions/web-1"),
        ("approval web-1/Gate/Approve/1", "/executions/web-1"),
        ("approval external/shop/41", "/approvals/external/shop/41"),
        ("policy strict", "/policies/strict"),
        ("service a b", "/running/a%20b"),
        ("policy", None),
        ("advisories", None),
        ("image sha256:1", None),
    ],
)
def test_the_subject_of_an_event_has_a_page(subject: str, page: str | None) -> None:
    assert find_subject_path(EventSubject.parse(subject)) == page
