"""What the story is made of, without a server."""

import json
import socket
from pathlib import Path

import pytest

from dockgate.delivery.definitions import documents
from dockgate.demo import base, place, story

TARGETS = """\
https://mirror.example/debian/|bookworm|main|/usr/share/keyrings/debian-archive-keyring.gpg
https://mirror.example/debian/|bookworm-updates|main|
https://mirror.example/debian/|bookworm|contrib|
https://mirror.example/security/|bookworm-security|main|
https://elsewhere.example/|./|main|
"""


def test_the_base_image_comes_from_the_mirrors_of_this_machine_whatever_its_release() -> None:
    assert list(base.lines(TARGETS, "bookworm")) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example/debian/ trixie main",
        "deb https://mirror.example/debian/ trixie-updates main",
        "deb https://mirror.example/security/ trixie-security main",
    ]


def test_sources_that_follow_stable_count_as_the_release_they_follow() -> None:
    assert list(base.lines("https://mirror.example/debian/|stable|main|\n", "trixie")) == [
        "deb https://mirror.example/debian/ trixie main"
    ]


def test_requirements_are_raised_to_what_the_verdict_advises_and_nothing_else() -> None:
    before = "# ours\nJinja2==2.10\nzope.interface==5.0\nurllib3==1.23\n"
    after = "# ours\nJinja2==3.1.6\nzope.interface==6.0\nurllib3==1.23\n"
    assert story.raised(before, {"jinja2": "3.1.6", "zope-interface": "6.0"}) == after


def test_a_port_that_others_took_is_chosen_anew_and_then_kept(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps([taken, taken]))
        first = place.find(tmp_path)
        assert taken not in (first.port, first.registry_port)
        assert place.find(tmp_path) == first


def test_the_ports_file_of_an_interrupted_run_may_be_broken(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("[74")
    found = place.find(tmp_path)
    assert json.loads((tmp_path / "ports.json").read_text()) == [found.port, found.registry_port]


@pytest.mark.parametrize("name", ["repository", "service", "pipeline"])
def test_the_documents_are_ones_that_a_user_could_have_written(name: str) -> None:
    documents.read((story.HERE / f"{name}.yaml").read_text(), f"{name}.yaml")
