"""The `remote:` lines that a push prints on the client: started executions, and how to follow them."""

import re
from collections.abc import Iterator, Sequence
from typing import IO

from dockgate.delivery.model import Execution
from dockgate.events.model import PushEvent
from dockgate.shared.escaping import clean_text

# Maximum lines per push.
MAX_LINES = 20
# Maximum bytes of a line; a packet of the side band holds at most 65,515 (gitprotocol-pack(5)).
MAX_LINE = 900
# The flush packet, which ends git's response.
END = b"0000"


def can_show_messages(body: IO[bytes]) -> bool:
    """Return whether the client shows messages: it has the capability side-band-64k.

    Reads the first packet of the push (gitprotocol-pack(5)), and rewinds the file. The capability `quiet` is ignored:
    it concerns git's own progress, and git also sends it without a terminal, such as in CI.
    """
    head = body.read(4)
    size = int(head, 16) if re.fullmatch(b"[0-9a-fA-F]{4}", head) else 0
    line = body.read(max(size - 4, 0))
    body.seek(0)
    return b"side-band-64k" in line.partition(b"\0")[2].split()


def encode_packets(lines: Sequence[str]) -> bytes:
    """Encode lines for the side band's progress channel, which git shows as `remote: LINE`."""
    texts = [clean_text(line).encode("utf-8", "backslashreplace")[:MAX_LINE] for line in lines[:MAX_LINES]]
    return b"".join(b"%04x\x02%s\n" % (len(text) + 6, text) for text in texts)


def format_lines(events: Sequence[tuple[PushEvent, Sequence[Execution] | None]], url: str) -> Iterator[str]:
    """The lines for push events and their executions (None: not started yet). `url` is the console's."""
    for event, executions in events:
        repository, branch = event.detail["repository"], event.detail["branch"]
        if executions is None:
            yield f"The pipelines of {repository} {branch} start soon. See: dockgate pipeline list"
        elif not executions:
            yield f"No pipeline started: none has {repository} {branch} as its source."
        for execution in executions or ():
            yield f"Started {execution.id}"
            yield f"  follow   dockgate pipeline logs -f {execution.id}"
            yield f"  details  dockgate pipeline show {execution.id}"
            yield f"  console  {url}/executions/{execution.id}"
