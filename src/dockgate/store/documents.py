"""Documents: canonical bytes, stored once under their digest and compressed."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from sqlalchemy import Connection, select

from dockgate.gate.model import BaselineExemptions, ExemptionSet, ExternalReport, Policy, Verdict
from dockgate.gate.policy import encode_policy
from dockgate.gate.provenance import ProvenanceFacts
from dockgate.scanner.model import Inventory
from dockgate.shared.canonical import encode
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import NotFoundError
from dockgate.store.queries import is_one_of, make_text_list
from dockgate.store.schema.store import documents
from dockgate.store.statements import insert_all_new, lock_name, try_lock_name
from dockgate.vulnerabilities.model import AdvisorySnapshot

# What a case is made of, each of them a document.
Part = BaselineExemptions | Inventory | ProvenanceFacts | ExternalReport | AdvisorySnapshot | ExemptionSet

# The lock between those that store documents, and the one that deletes what nothing names.
_COLLECTION = "collection"
_STORED_DIGESTS = select(documents.c.digest).where(is_one_of(documents.c.digest, "digests"))
_BODIES = select(documents.c.digest, documents.c.body).where(is_one_of(documents.c.digest, "digests"))


class Document:
    """A document to store.

    Make it before the transaction: encoding and hashing a large inventory takes time.
    """

    def __init__(self, kind: str, data: bytes) -> None:
        self.kind = kind
        self.digest = compute_digest(data)
        self._data = data

    @cached_property
    def body(self) -> bytes:
        """The row's bytes. Compressing takes time, and a document that is stored already needs none."""
        return zlib.compress(self._data)

    @classmethod
    def from_value(cls, value: Part | Verdict) -> "Document":
        """The stored form of a part of a verdict, or of the verdict itself."""
        return cls(type(value).__name__, encode(value))

    @classmethod
    def from_policy(cls, policy: Policy) -> "Document":
        """The stored form of a policy: its canonical text, by which policies have their digest."""
        return cls(Policy.__name__, encode_policy(policy))


def store_documents(connection: Connection, *new: Document) -> None:
    """Store the documents that are not stored yet."""
    keep_documents(connection)
    insert_all_new(
        connection,
        documents,
        [
            {"kind": document.kind, "digest": document.digest, "body": document.body}
            for document in select_new_documents(connection, new)
        ],
    )


def keep_documents(connection: Connection) -> None:
    """Keep stored documents from being deleted until the transaction ends, which is to name some of them."""
    lock_name(connection, documents, _COLLECTION, is_shared=True)


def lock_documents(connection: Connection) -> bool:
    """Keep other transactions from storing documents until this one ends. False if one is about to.

    It does not wait: others that hold what such a transaction waits for would wait for this one.
    """
    return try_lock_name(connection, documents, _COLLECTION)


def select_new_documents(connection: Connection, candidates: Sequence[Document]) -> list[Document]:
    """The documents that are not stored, each digest once."""
    by_digest = {document.digest: document for document in candidates}
    stored_digests = set(connection.scalars(_STORED_DIGESTS, {"digests": make_text_list(list(by_digest))}))
    return [document for digest, document in by_digest.items() if digest not in stored_digests]


def decompress_document(body: bytes) -> bytes:
    """The canonical bytes of a row of `documents`."""
    return zlib.decompress(body)


def read_document(connection: Connection, digest: str) -> bytes:
    """The canonical bytes of a document. Raises NotFoundError."""
    body = connection.scalar(select(documents.c.body).where(documents.c.digest == digest))
    if body is None:
        raise make_unknown_document_error("document", digest)
    return decompress_document(body)


def read_documents(connection: Connection, digests: Collection[str]) -> Mapping[str, bytes]:
    """The canonical bytes of documents, by digest. Raises NotFoundError."""
    rows = connection.execute(_BODIES, {"digests": make_text_list(sorted(digests))})
    bodies = {digest: decompress_document(body) for digest, body in rows}
    for digest in digests:
        if digest not in bodies:
            raise make_unknown_document_error("document", digest)
    return bodies


def make_unknown_document_error(kind: str, digest: str) -> NotFoundError:
    """The error about a digest that is not stored."""
    return NotFoundError(
        f"there is no {kind} {digest!r}", "Give the whole digest, sha256:… as `dockgate approval list` prints it."
    )
