"""Messages to the clients of pushes, as packets of gitprotocol-pack(5)."""

from io import BytesIO

from dockgate.events.model import PushEvent, PushKind
from dockgate.web.git_messages import MAX_LINE, MAX_LINES, can_show_messages, encode_packets, format_lines

NONE = "0" * 40


def push(capabilities: str) -> BytesIO:
    command = f"{NONE} {'1' * 40} refs/heads/main\0{capabilities}".encode()
    return BytesIO(b"%04x" % (len(command) + 4) + command + b"0000PACK")


def test_messages_are_for_clients_that_show_them() -> None:
    body = push(" report-status side-band-64k agent=git/2.47")
    assert can_show_messages(body)
    assert body.tell() == 0
    assert can_show_messages(push("report-status side-band-64k quiet")), "git says so wherever it shows no progress"
    assert not can_show_messages(push("report-status"))
    assert not can_show_messages(BytesIO(b""))
    assert not can_show_messages(BytesIO(b"zzzz"))


def test_packets_are_bounded_and_cannot_steer_a_terminal() -> None:
    line = encode_packets(["a\x1b[2Jb\n0000"])
    assert b"\x1b" not in line
    assert int(line[:4], 16) == len(line)
    packets = encode_packets(["x" * 5000] * 1000)
    assert len(packets) == MAX_LINES * (MAX_LINE + 6)


def test_an_unhandled_event_is_announced_as_starting_soon() -> None:
    event = PushEvent("push/1", PushKind.REPOSITORY_PUSH, {"repository": "web", "branch": "main"}, "")
    assert list(format_lines([(event, None)], "http://server")) == [
        "The pipelines of web main start soon. See: dockgate pipeline list"
    ]
    assert list(format_lines([(event, ())], "http://server")) == [
        "No pipeline started: none has web main as its source."
    ]
