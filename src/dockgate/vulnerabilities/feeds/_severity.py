"""What others call severe, in our words: CVSS vectors and the words of publishers."""

from collections.abc import Iterable
from functools import lru_cache

from dockgate.vulnerabilities.model import Rating, Severity

_LONGEST_VECTOR = 1024
_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
_STANDARDS = ("CVSS:4.", "CVSS:3.1/", "CVSS:3.0/", "")
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


def by_word(source: str, word: object) -> Rating | None:
    """A rating from a publisher's word: Debian's urgencies, Ubuntu's priorities, Red Hat's and GitHub's severities.

    None for what says nothing ("not yet assigned", "None", "Unknown"). Debian marks a guess with asterisks.
    """
    severity = _WORDS.get(word.strip().rstrip("*").upper()) if isinstance(word, str) else None
    return Rating(source, severity) if severity else None


def by_vectors(source: str, vectors: Iterable[str]) -> Rating | None:
    """The rating by the highest version of the standard among these vectors; of one version the worst.

    None when none of them can be scored.
    """
    ratings = [rating for vector in vectors if (rating := _score(source, vector))]
    return min(ratings, key=lambda rating: (_standard(rating.vector), -rating.score), default=None)


def _standard(vector: str) -> int:
    return next(place for place, prefix in enumerate(_STANDARDS) if vector.startswith(prefix))


@lru_cache(maxsize=16384)
def _score(source: str, vector: str) -> Rating | None:
    """The base score by the standard's own bands ("Qualitative Severity Rating Scale"), version 2 on those of 3."""
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError  # type: ignore[import-untyped] # it ships no types

    vector = vector.strip()
    if len(vector) > _LONGEST_VECTOR:
        return None
    kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
    try:
        score = float(kind(vector).base_score)
    except CVSSError:
        return None
    severity = next((severity for least, severity in _BANDS if score >= least), Severity.INFORMATIONAL)
    return Rating(source, severity, score, vector)
