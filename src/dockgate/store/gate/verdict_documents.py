"""The documents of verdicts."""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, select

from dockgate.gate.model import Verdict
from dockgate.shared.canonical import decode
from dockgate.store.documents import decompress_document, make_unknown_document_error
from dockgate.store.schema.store import documents

_BODY = select(documents.c.body).where(documents.c.digest == bindparam("digest"), documents.c.kind == Verdict.__name__)


def read_verdict(connection: Connection, digest: str) -> Verdict:
    """A verdict by its digest. Raises NotFoundError."""
    return decode(Verdict, read_verdict_body(connection, digest))


def read_verdict_body(connection: Connection, digest: str) -> bytes:
    """The canonical bytes of a verdict. Raises NotFoundError."""
    body = connection.scalar(_BODY, {"digest": digest})
    if body is None:
        raise make_unknown_document_error("verdict", digest)
    return decompress_document(body)


def read_violations(body: bytes) -> tuple[Mapping[str, str], frozenset[str]]:
    """The names of findings that violate a rule, and those of all findings.

    The former have the message of the first violation. Only the plain JSON is read: building a whole verdict takes ten
    times as long.
    """
    blocking: dict[str, str] = {}
    names: set[str] = set()
    for platform in json.loads(decompress_document(body))["platform_verdicts"]:
        names.update(name for finding in platform["findings"] for name in (finding["id"], *finding["aliases"]))
        for violation in platform["violations"]:
            for finding in violation["findings"]:
                for name in (finding["id"], *finding["aliases"]):
                    blocking.setdefault(name, violation["message"])
    return blocking, frozenset(names)
