"""Parts of the demo, without a server."""

import json
import socket
from pathlib import Path

import pytest
from tests.delivery.definitions.definition_files import read_definition

from dockgate.demo import base_image, demo_folder, story

TARGETS = """\
https://mirror.example/debian/|bookworm|main|/usr/share/keyrings/debian-archive-keyring.gpg
https://mirror.example/debian/|bookworm-updates|main|
https://mirror.example/debian/|bookworm|contrib|
https://mirror.example/security/|bookworm-security|main|
https://elsewhere.example/|./|main|
"""


def test_the_base_image_uses_this_machines_mirrors_for_any_release() -> None:
    assert list(base_image.build_source_lines(TARGETS, "bookworm")) == [
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example/debian/ trixie main",
        "deb https://mirror.example/debian/ trixie-updates main",
        "deb https://mirror.example/security/ trixie-security main",
    ]


def test_sources_of_stable_count_as_its_release() -> None:
    assert list(base_image.build_source_lines("https://mirror.example/debian/|stable|main|\n", "trixie")) == [
        "deb https://mirror.example/debian/ trixie main"
    ]


def test_only_recommended_upgrades_are_made() -> None:
    before = "# ours\nJinja2==2.10\nzope.interface==5.0\nurllib3==1.23\n"
    after = "# ours\nJinja2==3.1.6\nzope.interface==6.0\nurllib3==1.23\n"
    assert story.upgrade_requirements(before, {"jinja2": "3.1.6", "zope-interface": "6.0"}) == after


def test_a_port_in_use_is_replaced_and_the_new_port_is_stored(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        used_port = listener.getsockname()[1]
        (tmp_path / "ports.json").write_text(json.dumps([used_port, used_port]))
        first = demo_folder.open_folder(tmp_path)
        assert used_port not in (first.port, first.registry_port)
        assert demo_folder.open_folder(tmp_path) == first


def test_a_broken_ports_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("[74")
    demo = demo_folder.open_folder(tmp_path)
    assert json.loads((tmp_path / "ports.json").read_text()) == [demo.port, demo.registry_port]


@pytest.mark.parametrize("name", ["repository", "service", "pipeline"])
def test_the_documents_of_the_demo_are_valid(name: str) -> None:
    read_definition((story.FILES / f"{name}.yaml").read_text(), f"{name}.yaml")
