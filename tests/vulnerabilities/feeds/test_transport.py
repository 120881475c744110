"""Bringing files over HTTP: what is final, what is tried again, what is written into messages."""

import ssl
import subprocess
from pathlib import Path

import pytest
from tests.vulnerabilities.feeds.feed_site import serve_files

from dockgate.shared.errors import DownloadError, UnavailableError, UsageError
from dockgate.vulnerabilities.feed import ONLY_PART
from dockgate.vulnerabilities.feeds._transport import Web
from dockgate.vulnerabilities.feeds.kev import FEED


def test_a_client_error_is_not_retried(tmp_path: Path) -> None:
    with serve_files({}) as site:
        with pytest.raises(UnavailableError, match="404 Not Found"):
            FEED.fetch(f"{site.url}/kev.json", ONLY_PART, None, tmp_path)
        assert site.requests == ["/kev.json 404"]


def test_a_truncated_download_is_an_error(tmp_path: Path) -> None:
    with serve_files({"/kev.json": b"x" * 1000}) as site:
        site.cut.add("/kev.json")
        with pytest.raises(UnavailableError):
            FEED.fetch(f"{site.url}/kev.json", ONLY_PART, None, tmp_path)
        assert site.requests == ["/kev.json 200"] * 3


def test_an_unrequested_304_is_an_error(tmp_path: Path) -> None:
    with serve_files({"/kev.json": b"{}"}) as site:
        site.failing["/kev.json"] = [304] * 3
        with pytest.raises(UnavailableError, match="304"):
            FEED.fetch(f"{site.url}/kev.json", ONLY_PART, None, tmp_path)


def test_a_download_above_its_limit_is_an_error(tmp_path: Path) -> None:
    with serve_files({"/kev.json": b"x" * 1000}) as site, Web("kev", site.url, None) as web:
        with pytest.raises(UnavailableError, match="larger than 999 bytes"):
            web.fetch(f"{site.url}/kev.json", None, tmp_path, 999)
        assert site.requests == ["/kev.json 200"]
        assert web.fetch(f"{site.url}/kev.json", None, tmp_path, 1000).path


@pytest.mark.parametrize("part", ["head", "chunk", "body"])
def test_a_request_that_is_too_slow_is_given_up(part: str, tmp_path: Path) -> None:
    """Each byte is within the time limit of a read; the whole answer takes too long."""
    with serve_files({"/kev.json": b"x" * 200}) as site, Web("kev", site.url, None, grace=0.2) as web:
        site.slow["/kev.json"], site.slow_part = 0.02, part
        with pytest.raises(DownloadError, match="too slow") as error:
            web.fetch(f"{site.url}/kev.json", None, tmp_path)
        assert (error.value.is_stalled, error.value.is_unreachable) == (True, False)
        assert site.requests == ["/kev.json 200"]
        site.slow.clear()
        assert web.fetch(f"{site.url}/kev.json", None, tmp_path).path  # the next request has a time of its own


def test_a_large_file_that_comes_steadily_may_take_longer_than_the_grace_period(tmp_path: Path) -> None:
    """By its clock, no time passes: the speed is looked at several times, and is high enough."""
    with (
        serve_files({"/kev.json": b"x" * 50}) as site,
        Web("kev", site.url, None, grace=0.05, monotonic=lambda: 0.0) as web,
    ):
        site.slow["/kev.json"] = 0.01
        path = web.fetch(f"{site.url}/kev.json", None, tmp_path).path
        assert path is not None
        assert path.read_bytes() == b"x" * 50


def test_redirects_end(tmp_path: Path) -> None:
    with serve_files({}) as site:
        site.redirects = {"/a": f"{site.url}/b", "/b": f"{site.url}/a"}
        with pytest.raises(DownloadError, match="redirects more than 20 times"):
            FEED.fetch(f"{site.url}/a", ONLY_PART, None, tmp_path)


def test_a_host_that_stops_in_the_middle_of_a_file_is_stalled(tmp_path: Path) -> None:
    with serve_files({"/kev.json": b"x" * 1000}) as site, Web("kev", site.url, None, timeout=0.2) as web:
        site.slow["/kev.json"] = 1.0
        with pytest.raises(DownloadError) as error:
            web.fetch(f"{site.url}/kev.json", None, tmp_path)
        assert (error.value.is_stalled, error.value.is_unreachable) == (True, False)


def test_a_redirect_is_followed_but_not_out_of_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    usage = ["-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *usage], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with serve_files({"/kev.json": b"{}"}) as plain, serve_files({"/kev.json": b"{}"}, tls) as secure:
        secure.redirects = {"/same": f"{secure.url}/kev.json", "/down": f"{plain.url}/kev.json"}
        plain.redirects = {"/up": f"{secure.url}/kev.json"}
        for url in (f"{secure.url}/same", f"{plain.url}/up"):
            assert FEED.fetch(url, ONLY_PART, None, tmp_path, certificate).path
        with pytest.raises(UnavailableError, match="from https to http"):
            FEED.fetch(f"{secure.url}/down", ONLY_PART, None, tmp_path, certificate)
        assert plain.requests == []


def test_a_feed_sends_its_clients_no_closer_to_this_machine(tmp_path: Path) -> None:
    with serve_files({"/kev.json": b"{}"}) as site:
        site.redirects = {"/metadata": "http://169.254.169.254/latest/meta-data"}
        with pytest.raises(DownloadError, match=r"the feed kev sends its clients to 169\.254.* at a metadata address"):
            FEED.fetch(f"{site.url}/metadata", ONLY_PART, None, tmp_path)
        assert site.requests == []
        with Web("kev", "http://192.0.2.1", None) as web, pytest.raises(DownloadError, match="at a loopback address"):
            web.fetch(f"{site.url}/kev.json", None, tmp_path)  # as a mirror in a list of the feed's
        assert site.requests == []


@pytest.mark.parametrize("url", ["nonsense", "file:///etc/passwd", "http://", "http://:80/", "http://[nonsense"])
def test_an_invalid_url_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the feed kev cannot be fetched from .*: it is not a valid http.* URL"):
        FEED.fetch(url, ONLY_PART, None, tmp_path)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_unreadable_certificates_are_an_error(content: str | None, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    with pytest.raises(UsageError, match=r"ca\.pem"):
        FEED.fetch("http://127.0.0.1/kev.json", ONLY_PART, None, tmp_path, bundle)


def test_secrets_in_a_url_are_not_in_the_message(tmp_path: Path) -> None:
    with serve_files({}) as site:
        url = site.url.replace("//", "//user:secret@") + "/kev.json?token=secret"
        with pytest.raises(UnavailableError) as error_info:
            FEED.fetch(url, ONLY_PART, None, tmp_path)
    assert "secret" not in str(error_info.value)
    assert "/kev.json" in str(error_info.value)


@pytest.mark.parametrize("url", ["http://user:secret@host:nonsense/", "http://user:secret@[nonsense"])
def test_secrets_in_an_invalid_url_are_not_in_the_message(url: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as error_info:
        FEED.fetch(url, ONLY_PART, None, tmp_path)
    assert "secret" not in str(error_info.value)
