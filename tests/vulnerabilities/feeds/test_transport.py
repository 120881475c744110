"""Bringing files over HTTP: what is final, what is tried again, what is written into messages."""

from pathlib import Path

import pytest
from tests.vulnerabilities.feeds.feed_site import serving

from dockgate.shared.errors import UnavailableError
from dockgate.vulnerabilities.feeds.kev import FEED


def test_a_client_error_is_not_retried(tmp_path: Path) -> None:
    with serving({}) as site:
        with pytest.raises(UnavailableError, match="404 Not Found"):
            FEED.fetch(f"{site.url}/kev.json", "", "", tmp_path)
        assert site.seen == ["/kev.json 404"]


def test_a_truncated_download_is_an_error(tmp_path: Path) -> None:
    with serving({"/kev.json": b"x" * 1000}) as site:
        site.cut.add("/kev.json")
        with pytest.raises(UnavailableError):
            FEED.fetch(f"{site.url}/kev.json", "", "", tmp_path)
        assert site.seen == ["/kev.json 200"] * 3


def test_an_unrequested_304_is_an_error(tmp_path: Path) -> None:
    with serving({"/kev.json": b"{}"}) as site:
        site.failing["/kev.json"] = [304] * 3
        with pytest.raises(UnavailableError, match="304"):
            FEED.fetch(f"{site.url}/kev.json", "", "", tmp_path)


@pytest.mark.parametrize("url", ["nonsense", "file:///etc/passwd", "http://"])
def test_an_invalid_url_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="The feed kev"):
        FEED.fetch(url, "", "", tmp_path)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_unreadable_certificates_are_an_error(content: str | None, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    with pytest.raises(UnavailableError, match=r"ca\.pem"):
        FEED.fetch("http://127.0.0.1/kev.json", "", "", tmp_path, bundle)


def test_secrets_in_a_url_are_not_in_the_message(tmp_path: Path) -> None:
    with serving({}) as site:
        url = site.url.replace("//", "//user:secret@") + "/kev.json?token=secret"
        with pytest.raises(UnavailableError) as caught:
            FEED.fetch(url, "", "", tmp_path)
    assert "secret" not in str(caught.value)
    assert "/kev.json" in str(caught.value)
