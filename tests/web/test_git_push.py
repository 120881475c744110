"""The commands of a push, as the server reads them before git does."""

import io

import pytest

from dockgate.shared.errors import UsageError
from dockgate.web.git_push import MAX_SHALLOW, MAX_UPDATES, requested_updates

SHALLOW = b"0034shallow " + b"a" * 40


def update(number: int) -> bytes:
    line = b"%040d %s refs/heads/b%d" % (0, b"b" * 40, number)
    return b"%04x%s" % (len(line) + 4, line)


def test_a_push_from_a_shallow_clone_changes_its_references_only() -> None:
    body = io.BytesIO(SHALLOW * MAX_SHALLOW + update(1) + update(2) + b"0000PACK")
    assert [change.ref for change in requested_updates(body)] == ["refs/heads/b1", "refs/heads/b2"]
    assert body.tell() == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (SHALLOW * (MAX_SHALLOW + 1), f"shallow clone with more than {MAX_SHALLOW} ends"),
        (b"".join(map(update, range(MAX_UPDATES + 1))), f"more than {MAX_UPDATES} references"),
    ],
    ids=["shallow", "updates"],
)
def test_a_push_of_too_many_lines_is_refused_before_the_rest_is_read(lines: bytes, message: str) -> None:
    body = io.BytesIO(lines + b"nothing that git sends")
    with pytest.raises(UsageError, match=message):
        requested_updates(body)
    assert body.tell() == 0
