"""Messages as the headings of pages: sentences, with their commands as code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dockgate
from dockgate.web.console.formats import make_sentence, render_prose

# An error whose message may begin in a small letter: the others need not be parsed.
SMALL_LETTER = re.compile(r"""Error\([\s(]*[a-z]*["'][a-z]""")
# Words in small letters that begin messages and stay so: names of programs and fields, and parts of longer messages.
NAMES = {
    *("apprise", "base64", "boto3", "callbacks", "git", "mkfs.ext4", "nft", "npm", "podman", "prlimit"),
    *("has", "contains", "describes", "is", "compare"),
}


@pytest.mark.parametrize(
    ("message", "heading"),
    [
        ("there is no execution 'web-9'", "There is no execution 'web-9'."),
        ("The policy is in use.", "The policy is in use."),
        ("ada has voted", "ada has voted."),
        ("until: it is over", "until: it is over."),
        ("", "."),
    ],
)
def test_a_message_becomes_a_sentence_and_names_stay_as_they_are(message: str, heading: str) -> None:
    assert make_sentence(message) == heading


def read_name(function: ast.expr) -> str:
    """The last part of the name that is called."""
    return str(getattr(function, "attr", getattr(function, "id", "")))


def iterate_first_words() -> Iterator[str]:
    """The first words of messages of errors, where they are written in small letters."""
    for path in Path(dockgate.__file__).parent.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if SMALL_LETTER.search(text) else ():
            if not (isinstance(node, ast.Call) and node.args and read_name(node.func).endswith("Error")):
                continue
            message = node.args[0]
            if isinstance(message, ast.JoinedStr):
                message = message.values[0]
            if isinstance(message, ast.Constant) and isinstance(message.value, str) and message.value[:1].islower():
                yield message.value.split()[0]


def test_every_word_that_begins_messages_is_known() -> None:
    words = {word for word in iterate_first_words() if not word.endswith(":")}
    assert len(words) > 20
    assert {word for word in words if make_sentence(word)[0].islower()} <= NAMES


def test_commands_in_a_text_are_code_and_nothing_in_them_acts() -> None:
    assert render_prose("`a <b>` lists <i>") == '<bdi class="foreign"><code>a &lt;b&gt;</code> lists &lt;i&gt;</bdi>'
    assert render_prose("one ` only") == '<bdi class="foreign">one ` only</bdi>'
    assert render_prose(None) == ""


def test_a_digest_in_a_sentence_is_short_and_one_in_a_command_whole() -> None:
    digest = "sha256:" + "9f3c2b17" * 8
    short = f'<span class="nowrap" title="{digest}">sha256:9f3c2b179f3c…</span>'
    sentence = render_prose(f"there is no image {digest}: `dockgate scan {digest}`")
    assert sentence == f'<bdi class="foreign">there is no image {short}: <code>dockgate scan {digest}</code></bdi>'
