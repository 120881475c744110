"""How the OSV feed rates a record: by its vectors, and by the words of distributions."""

from typing import Any

import pytest
from tests.vulnerabilities.feeds.feed_files import Json, make_entry, make_fixed_range, record
from tests.vulnerabilities.feeds.test_feed_osv import read_advisory_with

from dockgate.vulnerabilities.model import Rating, Severity

V2 = "AV:N/AC:L/Au:N/C:P/I:P/A:P"


V31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


V4 = "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


def _make_severity(*vectors: str) -> list[Json]:
    kinds = {"CVSS:4": "CVSS_V4", "CVSS:3": "CVSS_V3"}
    return [{"type": kinds.get(vector[:6], "CVSS_V2"), "score": vector} for vector in vectors]


def test_the_newest_cvss_version_rates() -> None:
    value = record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")), severity=_make_severity(V2, V31, V4))
    assert read_advisory_with("PyPI", value).ratings == (Rating("advisory", Severity.MEDIUM, 5.4, V4),)


def test_a_vector_that_cannot_be_scored_is_skipped() -> None:
    value = record(
        "PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")), severity=_make_severity("CVSS:4.0/AV:nonsense", V31)
    )
    assert read_advisory_with("PyPI", value).ratings == (Rating("advisory", Severity.CRITICAL, 9.8, V31),)


def test_cvss_2_has_the_severities_of_cvss_3() -> None:
    value = record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")), severity=_make_severity(V2))
    assert read_advisory_with("PyPI", value).ratings == (Rating("advisory", Severity.HIGH, 7.5, V2),)


def test_the_packages_vector_takes_precedence_over_the_records() -> None:
    value = record(
        "BIT-1",
        make_entry("Bitnami", "a", *make_fixed_range("1"), severity=_make_severity(V4)),
        severity=_make_severity(V31),
    )
    assert read_advisory_with("Bitnami", value).ratings[0].vector == V4


def test_a_word_rates_without_a_vector() -> None:
    affected = make_entry("npm", "a", *make_fixed_range("1"))
    word: Json = {"severity": "MODERATE"}
    assert read_advisory_with("npm", record("GHSA-1", affected, database_specific=word)).ratings == (
        Rating("advisory", Severity.MEDIUM),
    )
    value = record("GHSA-1", affected, database_specific=word, severity=_make_severity(V31))
    assert read_advisory_with("npm", value).ratings == (Rating("advisory", Severity.CRITICAL, 9.8, V31),)


@pytest.mark.parametrize(
    ("part", "fields", "severity"),
    [
        ("Debian", {"ecosystem_specific": {"urgency": "unimportant"}}, Severity.INFORMATIONAL),
        ("Debian", {"ecosystem_specific": {"urgency": "medium**"}}, Severity.MEDIUM),
        ("Ubuntu", {"severity": [{"type": "Ubuntu", "score": "negligible"}]}, Severity.INFORMATIONAL),
        ("Ubuntu", {"ecosystem_specific": {"priority": "high"}}, Severity.HIGH),
        ("Rocky Linux", {"database_specific": {"severity": "Important"}}, Severity.HIGH),
    ],
)
def test_the_distributions_word_takes_precedence_over_the_vector(part: str, fields: Json, severity: Severity) -> None:
    affected = make_entry(f"{part}:1", "a", *make_fixed_range("1"), **fields)
    sources = [
        rating.source
        for rating in read_advisory_with(part, record("X-1", affected, severity=_make_severity(V31))).ratings
    ]
    if "severity" not in fields:
        assert sources == ["distribution", "advisory"]
    assert read_advisory_with(part, record("X-1", affected)).ratings == (Rating("distribution", severity),)


@pytest.mark.parametrize("word", ["not yet assigned", "None", "Unknown", "", 3, None])
def test_words_without_a_severity_rate_nothing(word: Any) -> None:
    value = record("X-1", make_entry("Debian:13", "a", *make_fixed_range("1"), ecosystem_specific={"urgency": word}))
    assert read_advisory_with("Debian", value).ratings == ()
