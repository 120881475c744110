"""Ratings from CVSS vectors and from the words of publishers."""

from collections.abc import Iterable
from functools import lru_cache

from dockgate.vulnerabilities.model import Rating, Severity, rank_score, rate_score

_VECTOR_LIMIT = 1024  # characters
_PREFIXES = ("CVSS:4.", "CVSS:3.1/", "CVSS:3.0/", "")
_WORDS = {
    "CRITICAL": Severity.CRITICAL,
    "HIGH": Severity.HIGH,
    "IMPORTANT": Severity.HIGH,
    "MEDIUM": Severity.MEDIUM,
    "MODERATE": Severity.MEDIUM,
    "LOW": Severity.LOW,
    "NEGLIGIBLE": Severity.INFORMATIONAL,
    "UNIMPORTANT": Severity.INFORMATIONAL,
}


def rate_word(source: str, word: object) -> Rating | None:
    """A rating from a publisher's word for a severity.

    Debian has urgencies, Ubuntu priorities, Red Hat and GitHub severities. None for a word without a severity ("not yet
    assigned", "None", "Unknown"). Debian marks a guess with asterisks.
    """
    severity = _WORDS.get(word.strip().rstrip("*").upper()) if isinstance(word, str) else None
    return Rating(source, severity) if severity else None


def rate_vectors(source: str, vectors: Iterable[str]) -> Rating | None:
    """The rating by the newest CVSS version among these vectors, the worst of equals.

    None if none can be scored.
    """
    ratings = [rating for vector in vectors if (rating := _rate_vector(source, vector))]
    return min(ratings, key=_rank_vector, default=None)


def _rank_vector(rating: Rating) -> tuple[int, float]:
    version = next(index for index, prefix in enumerate(_PREFIXES) if (rating.vector or "").startswith(prefix))
    return version, rank_score(rating.score)


@lru_cache(maxsize=16384)
def _rate_vector(source: str, vector: str) -> Rating | None:
    """The rating by the base score. A score of CVSS 2 has the severity that it has in CVSS 3."""
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError  # type: ignore[import-untyped] # it ships no types

    vector = vector.strip()
    if len(vector) > _VECTOR_LIMIT:
        return None
    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        score = float(kind(vector).base_score)
    except CVSSError:
        return None
    return Rating(source, rate_score(score), score, vector)
