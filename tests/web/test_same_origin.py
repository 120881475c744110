"""Which requests count as sent by a page of this server."""

import pytest
from fastapi import Request

from dockgate.shared.errors import DeniedError
from dockgate.web.browser_sessions import require_same_origin

HOST = "gate.example"


def is_own(scheme: str, **headers: str) -> bool:
    """Return whether a form with these headers counts. Their names have underscores instead of hyphens."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {"host": HOST, **headers}.items()]
    request = Request(
        {"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "server": (HOST, 443), "headers": pairs}
    )
    try:
        require_same_origin(request)
    except DeniedError:
        return False
    return True


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_older_browser_names_the_origin_with_its_scheme(scheme: str) -> None:
    other_scheme = {"http": "https", "https": "http"}[scheme]
    assert is_own(scheme, origin=f"{scheme}://{HOST}")
    assert not is_own(scheme, origin=f"{other_scheme}://{HOST}")
    assert not is_own(scheme, origin=f"{scheme}://{HOST}:8443")
    assert not is_own(scheme, origin="null")
    assert not is_own(scheme)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", ""])
def test_what_a_browser_says_of_the_site_counts_more_than_the_origin(site: str) -> None:
    assert is_own("https", sec_fetch_site="same-origin")
    assert not is_own("https", sec_fetch_site=site, origin=f"https://{HOST}")
