"""Write the statement of a build, and verify statements that a policy relies on.

Pure: no I/O, no clock. The form is in-toto's Statement v1 (in-toto/attestation, spec/v1/statement.md) with a predicate
of SLSA Provenance v1 (slsa.dev/spec/v1.0/provenance).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dockgate.shared import canonical
from dockgate.shared.digest import Digest, compute_digest, from_hex, get_hex, is_digest
from dockgate.shared.errors import DeniedError, DockgateError, UnreadableError
from dockgate.shared.purl import is_of_type
from dockgate.shared.references import parse_repository
from dockgate.shared.strict_json import parse_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# The types that are read. cosign 2 writes v0.1, which has the same fields.
_STATEMENT_TYPES = (STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1")
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
# The build type of our builds: see docs/how-to/attestations.md.
BUILD_TYPE = "https://dockgate.dev/build/dockerfile/v1"
# Build types with the source repository in `externalParameters.workflow.repository`.
GITHUB_BUILD_TYPES = (
    "https://actions.github.io/buildtypes/workflow/v1",
    "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
)
# The builder id of builds in a sandbox.
BUILDER = "https://dockgate.dev/builder/v1"
# The builder id of builds that could reach their host, whose statements can therefore be forged.
UNSANDBOXED_BUILDER = "https://dockgate.dev/builder/unsandboxed/v1"
# Statements of one image that are read.
STATEMENT_LIMIT = 64
_IMAGE_TYPES = ("docker", "oci")
# Characters of a text in a statement.
_TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """The facts about one of our own builds. Times are RFC 3339 in UTC.

    `source` is the repository's URI, `commit` 40 hexadecimal digits. `dockerfile` is a path in the source. `bases` are
    pairs of the reference as the Dockerfile names it and the digest that was pulled. `arguments` are names only: values
    may be secret. `started_at` is None if unknown.
    """

    builder: str
    invocation: str
    source: str
    commit: str
    dockerfile: str
    dockerfile_digest: str
    bases: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]
    started_at: str | None
    finished_at: str
    engine: str


def write_statement(record: BuildRecord, name: str, digest: str) -> bytes:
    """Write the statement that this build made the image `digest`, with the name `name`."""
    source = {"uri": record.source, "digest": {"gitCommit": record.commit}}
    dockerfile = {"name": record.dockerfile, "digest": _build_digest_set(record.dockerfile_digest)}
    bases = [
        {"name": text, "uri": _build_purl(text, pulled_image), "digest": _build_digest_set(pulled_image)}
        for text, pulled_image in record.bases
    ]
    parameters = {"source": source, "dockerfile": record.dockerfile, "arguments": sorted(record.arguments)}
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": parameters,
        "resolvedDependencies": [source, dockerfile, *bases],
    }
    times = {"startedOn": record.started_at} if record.started_at else {}
    details = {
        "builder": {"id": record.builder, "version": {"dockgate": record.engine}},
        "metadata": {"invocationId": record.invocation, **times, "finishedOn": record.finished_at},
    }
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": _build_digest_set(digest)}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"buildDefinition": definition, "runDetails": details},
        }
    )


def _build_digest_set(digest: str) -> dict[str, str]:
    algorithm, encoded_digest = Digest.parse(digest)
    return {algorithm: encoded_digest}


def _build_purl(reference: str, digest: str) -> str:
    """The package URL of a base image (package-url/purl-spec, types/oci)."""
    repository = parse_repository(reference)
    name = repository.rpartition("/")[2].lower()
    return f"pkg:oci/{quote(name, safe='')}@{quote(digest, safe='')}?repository_url={quote(repository, safe='/')}"


@dataclass(frozen=True, slots=True)
class ProvenanceStatement:
    """A statement about the judged image that a key of the policy signed.

    `digest` is of its bytes; `keys` are the ids of the policy's keys that signed it. `source`, `commit` and
    `finished_at` are None if the statement has none in a known form. `bases` are digests of base images.
    """

    digest: str
    keys: tuple[str, ...]
    builder: str
    build_type: str
    source: str | None = None
    commit: str | None = None
    bases: tuple[str, ...] = ()
    finished_at: str | None = None


@dataclass(frozen=True, slots=True)
class ProvenanceFacts:
    """The provenance of `image`, a digest: an input of the verdict.

    `refused` says for each other statement why it does not count, in a sentence. `unavailable` is why the statements
    beside the image could not be fetched, None if they were.
    """

    image: str
    statements: tuple[ProvenanceStatement, ...] = ()
    refused: tuple[str, ...] = ()
    unavailable: str | None = None


# (DSSE envelope as JSON, public key as PEM) -> the in-toto payload that the key signed. Raises DeniedError when it did
# not sign, UnreadableError for what is not an envelope of an in-toto statement.
Verify = Callable[[str, str], bytes]


def collect(
    image: str, envelopes: Iterable[str], keys: Mapping[str, str], verify: Verify, unavailable: str | None = None
) -> ProvenanceFacts:
    """The facts of the envelopes beside an image. `keys` maps ids to public keys (PEM)."""
    statements: set[ProvenanceStatement] = set()
    refusals: set[str] = set()
    for envelope in list(dict.fromkeys(envelopes))[:STATEMENT_LIMIT]:
        try:
            statements.add(_verify_statement(envelope, image, keys, verify))
        except DockgateError as error:
            refusals.add(f"A statement is not accepted: {error}.")
    return ProvenanceFacts(
        image,
        tuple(sorted(statements, key=lambda statement: (statement.digest, statement.keys))),
        tuple(sorted(refusals)),
        unavailable,
    )


def _verify_statement(envelope: str, image: str, keys: Mapping[str, str], verify: Verify) -> ProvenanceStatement:
    signed_payloads: dict[str, bytes] = {}
    for key, pem in sorted(keys.items()):
        try:
            signed_payloads[key] = verify(envelope, pem)
        except DeniedError:
            continue
    if not signed_payloads:
        raise DeniedError("no key that the policy lists signed it")
    return read(next(iter(signed_payloads.values())), image, tuple(signed_payloads))


def read(payload: bytes, image: str, keys: Sequence[str] = ()) -> ProvenanceStatement:
    """The provenance statement in a payload whose signature was verified.

    Raises UnreadableError for what is not a provenance statement, DeniedError for one about another image.
    """
    try:
        document = parse_json(payload)
        kind = document["predicateType"]
        if document["_type"] not in _STATEMENT_TYPES or kind != PREDICATE_TYPE:
            raise UnreadableError(f"it has the type {str(kind)[:100]!r}, not {PREDICATE_TYPE!r}")
        subjects = {subject["digest"].get("sha256") for subject in document["subject"]}
        definition, details = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
        statement = ProvenanceStatement(
            digest=compute_digest(payload),
            keys=tuple(keys),
            builder=_check_text(details["builder"]["id"]),
            build_type=_check_text(definition["buildType"]),
            finished_at=_check_text((details.get("metadata") or {}).get("finishedOn") or "") or None,
            **_read_source(definition),
            bases=_read_base_digests(definition.get("resolvedDependencies") or ()),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it cannot be read: {type(error).__name__}") from None
    if not is_digest(image) or get_hex(image) not in subjects:
        raise DeniedError("it is about another image")
    if not statement.builder:
        raise UnreadableError("it names no builder")
    return statement


def _read_source(definition: Mapping[str, Any]) -> dict[str, str | None]:
    """The source repository and the commit, for a known build type."""
    parameters, kind = definition["externalParameters"], definition["buildType"]
    if kind == BUILD_TYPE:
        source = parameters["source"]
        return {
            "source": _check_text(source["uri"]) or None,
            "commit": _check_text(source["digest"]["gitCommit"]) or None,
        }
    if kind in GITHUB_BUILD_TYPES:
        uri = _check_text(parameters["workflow"]["repository"])
        commits = [
            _check_text(dependency["digest"]["gitCommit"])
            for dependency in definition.get("resolvedDependencies") or ()
            if str(dependency.get("uri", "")).removeprefix("git+").partition("@")[0] == uri
        ]
        return {"source": uri or None, "commit": (commits[0] or None) if commits else None}
    return {}


def _read_base_digests(dependencies: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The digests of the images among the dependencies.

    Raises ValueError for an image without a digest: an incomplete list must not look complete.
    """
    digests = set()
    for dependency in dependencies:
        if is_of_type(str(dependency.get("uri", "")), *_IMAGE_TYPES):
            digest = from_hex(dependency["digest"]["sha256"])
            if not is_digest(digest):
                raise ValueError("a base image without a digest")
            digests.add(digest)
    return tuple(sorted(digests))


def _check_text(value: object) -> str:
    """Check a text of bounded length. Raises TypeError or ValueError for anything else."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    if len(value) > _TEXT_LIMIT or not value.isprintable():
        raise ValueError("too long, or not printable")
    return value
