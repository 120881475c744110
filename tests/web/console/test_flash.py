"""The page that the answer of a form leads to says once what the form did."""

import pytest
from fastapi import Request

from dockgate.web.console.flash import read_flash, redirect_with_flash
from dockgate.web.page_paths import make_image_path

IMAGE = "sha256:" + "a" * 64


def make_request(path: str, cookie: str = "", method: str = "GET", *headers: tuple[bytes, bytes]) -> Request:
    return Request(
        {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "server": ("gate.example", 80),
            "headers": [(b"cookie", cookie.encode()), *headers],
        }
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/running/web", "/running/web"),
        (make_image_path(IMAGE, "team/app"), f"/images/{IMAGE}"),
        ("/repositories/a%20b/commits/4e1c", "/repositories/a b/commits/4e1c"),
    ],
)
def test_the_page_that_a_form_leads_to_tells_what_it_did(target: str, path: str) -> None:
    answer = redirect_with_flash(make_request("/form", method="POST"), target, "Ä: it is done.")
    assert answer.headers["location"] == target
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert read_flash(make_request(path, cookie)) == "Ä: it is done."
    assert read_flash(make_request("/", cookie)) is None
    assert read_flash(make_request(path, cookie, "POST")) is None
    # A page that fetches itself again in another tab shows only parts of the answer.
    assert read_flash(make_request(path, cookie, "GET", (b"hx-request", b"true"))) is None


@pytest.mark.parametrize("value", ["", "x", "////", "YQ==", "gICAgA=="])
def test_another_cookie_tells_nothing(value: str) -> None:
    assert read_flash(make_request("/", f"dockgate-flash={value}")) is None
