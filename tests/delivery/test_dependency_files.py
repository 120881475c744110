"""Versions in files that name dependencies: what is changed, and what is left to builds and to people."""

import json

import pytest

from dockgate.delivery.dependency_files import (
    PinError,
    has_npm_dependency,
    repin_digest,
    repin_npm,
    repin_requirement,
    require_unpinned,
)

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jinja2==3.1.2\n", "Jinja2==3.1.6\n"),
        ("jinja2 == 3.1.2  # why\n", "jinja2 == 3.1.6  # why\n"),
        ("a==1\nJinja2[i18n]==3.1.2 ; python_version > '3'\nb==3.1.2\n", None),
        ("Jinja2===3.1.2", "Jinja2===3.1.6"),
        ("-r other.txt\n# Jinja2==3.1.2\nJinja2==3.1.2\r\n", "-r other.txt\n# Jinja2==3.1.2\nJinja2==3.1.6\r\n"),
    ],
)
def test_an_exact_requirement_is_changed_and_nothing_else(text: str, expected: str | None) -> None:
    expected = expected or text.replace("[i18n]==3.1.2", "[i18n]==3.1.6")
    assert repin_requirement(text, "requirements.txt", "jinja2", "3.1.2", "3.1.6") == expected


@pytest.mark.parametrize("text", ["", "Jinja2\n", "Jinja2>=3\n", "Jinja2-extra==3.1.2\n", "#Jinja2==3.1.2\n"])
def test_a_requirement_that_takes_newer_versions_is_not_changed(text: str) -> None:
    assert repin_requirement(text, "requirements.txt", "jinja2", "3.1.2", "3.1.6") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Jinja2==3.1.2 --hash=sha256:abc\n", "with hashes"),
        ("Jinja2==3.1.2 \\\n    --hash=sha256:abc\n", "with hashes"),
        ("Jinja2<3.2\n", "limits jinja2 to <3.2"),
        ("Jinja2~=3.1\n", "limits jinja2 to ~=3.1"),
        ("Jinja2==3.1.*\n", "limits jinja2 to ==3.1.*"),
        ("Jinja2==2.0\n", "pins jinja2 to 2.0, and the image has 3.1.2"),
        ("Jinja2 @ https://example.org/j.whl\n", "limits jinja2 to @ https://example.org/j.whl"),
    ],
)
def test_a_requirement_that_only_people_should_change_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(PinError) as error:
        repin_requirement(text, "requirements.txt", "jinja2", "3.1.2", "3.1.6")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("specifier", "expected"),
    [("4.17.20", "4.17.21"), ("^4.17.0", "^4.17.21"), ("~4.17.20", "~4.17.21"), ("=4.17.20", "=4.17.21")],
)
def test_a_direct_npm_dependency_is_changed_and_the_file_keeps_its_form(specifier: str, expected: str) -> None:
    text = '{\n   "name": "shop", "dependencies": {"lodash": "%s", "x": "4.17.20"},\n  "private":true}\n'
    changed_text = repin_npm(text % specifier, "package.json", "lodash", "4.17.20", "4.17.21")
    assert changed_text == text % expected


@pytest.mark.parametrize("specifier", ["*", "latest", ">=4"])
def test_an_npm_dependency_that_takes_newer_versions_is_not_changed(specifier: str) -> None:
    text = json.dumps({"dependencies": {"lodash": specifier}})
    assert repin_npm(text, "package.json", "lodash", "4.17.20", "4.17.21") is None
    assert has_npm_dependency(text, "package.json", "lodash")
    assert not has_npm_dependency(text, "package.json", "lodas")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"dependencies": {"lodash": "git+https://example.org/x"}}', "takes lodash from 'git+"),
        ('{"dependencies": {"lodash": ">=4 <5"}}', "takes lodash from"),
        ('{"dependencies": {"lodash": "4.0.0"}}', "pins lodash to 4.0.0, and the image has 4.17.20"),
        ('{"dependencies": {"lodash": "4.17.20"}, "overrides": {"lodash": "4.17.20"}}', "in several places"),
        ("nothing", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_an_npm_dependency_that_only_people_should_change_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PinError) as error:
        repin_npm(text, "package.json", "lodash", "4.17.20", "4.17.21")
    assert reason in str(error.value)


def test_a_pinned_base_gets_the_new_digest_wherever_it_is_named() -> None:
    text = f"FROM base:13@{OLD} AS build\nCOPY --from=base:13@{OLD} / /\n"
    assert repin_digest(text, "Dockerfile", OLD, NEW) == text.replace(OLD, NEW)
    with pytest.raises(PinError, match="a build argument does"):
        repin_digest("ARG BASE\nFROM ${BASE}\n", "Dockerfile", OLD, NEW)


@pytest.mark.parametrize(
    "text",
    [
        "RUN apt-get install -y openssl=3.0\n",
        "RUN apt-get install openssl:amd64=3.0",
        'RUN pip install "openssl==3"',
        "RUN npm install openssl@3",
        "ENV V=3\nRUN apk add openssl=$V\n",
    ],
)
def test_a_version_that_the_dockerfile_fixes_is_found(text: str) -> None:
    with pytest.raises(PinError, match="in a fixed version"):
        require_unpinned(text, "Dockerfile", "openssl")


@pytest.mark.parametrize(
    "text", ["RUN apt-get install openssl libopenssl=1 openssl-dev=1", "FROM x\n", "RUN a=openssl"]
)
def test_a_version_that_the_dockerfile_leaves_open_is_not_pinned(text: str) -> None:
    require_unpinned(text, "Dockerfile", "openssl")
