"""The documents of verdicts."""

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
