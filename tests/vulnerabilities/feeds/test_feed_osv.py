"""What the OSV feed tells matching of a record, and of what it cannot read."""

import json
import zipfile
from io import BytesIO
from typing import Any

import pytest
from tests.vulnerabilities.feeds.feed_files import Json, export, make_entry, make_fixed_range, record

from dockgate.scanner.ecosystems.bitnami import ECOSYSTEM as BITNAMI
from dockgate.scanner.ecosystems.rpm import ECOSYSTEM as RPM
from dockgate.shared.errors import UnreadableError
from dockgate.vulnerabilities.feed import RECORD_LIMIT, FaultyRecord, FeedStatement, SilentRecord
from dockgate.vulnerabilities.feeds.osv import FEED
from dockgate.vulnerabilities.model import Advisory, AdvisoryText, Range
from dockgate.vulnerabilities.versions import Order


def read(part: str, *records: Json | bytes) -> list[FeedStatement]:
    return list(FEED.parse(BytesIO(export(*records)), part))


def read_advisory_with(part: str, value: Json) -> Advisory:
    advisory, *_ = read(part, value)
    assert isinstance(advisory, Advisory)
    return advisory


def test_a_record_is_followed_by_its_text() -> None:
    fields = {
        "details": " What it is.\n",
        "references": [{"type": "WEB", "url": "https://a.example/1"}, {"type": "FIX", "url": "https://a.example/1"}],
        "database_specific": {"cwe_ids": ["CWE-79", "<b>", 5]},
    }
    *_, text = read("PyPI", record("P-1", make_entry("PyPI", "flask", *make_fixed_range("3")), **fields))
    assert text == AdvisoryText("P-1", "What it is.", ("https://a.example/1",), ("CWE-79",))


@pytest.mark.parametrize(
    "fields", [{"references": "none"}, {"references": [{"type": "WEB"}]}, {"database_specific": {"cwe_ids": "CWE-79"}}]
)
def test_a_text_that_is_not_as_the_schema_says_is_no_fault_of_the_record(fields: Json) -> None:
    (advisory,) = read("PyPI", record("P-1", make_entry("PyPI", "flask", *make_fixed_range("3")), **fields))
    assert isinstance(advisory, Advisory)


def test_long_texts_are_cut() -> None:
    references = [{"type": "WEB", "url": f"https://a.example/{number}"} for number in range(100)]
    value = record(
        "P-1", make_entry("PyPI", "flask", *make_fixed_range("3")), details="x" * 100_000, references=references
    )
    *_, text = read("PyPI", value)
    assert isinstance(text, AdvisoryText)
    assert text.details is not None
    assert len(text.details) < 5000
    assert text.details.endswith("…")
    assert len(text.references) == 30


def test_a_record_that_comes_twice_counts_once() -> None:
    value = record("P-1", make_entry("PyPI", "flask", *make_fixed_range("3")))
    assert read("PyPI", value, value) == read("PyPI", value)
    same_in_another_file = json.dumps(value).encode()
    other_record = record("P-2", make_entry("PyPI", "jinja2", *make_fixed_range("3")))
    assert read("PyPI", value, other_record, same_in_another_file) == read("PyPI", value, other_record)


def test_two_different_records_of_one_id_make_the_export_unreadable() -> None:
    value = record("P-1", make_entry("PyPI", "flask", *make_fixed_range("3")))
    other_record = record("P-1", make_entry("PyPI", "flask", *make_fixed_range("2")))
    with pytest.raises(UnreadableError, match=r"export of PyPI has two different records P-1, in P-1\.json$"):
        read("PyPI", value, other_record)
    with pytest.raises(UnreadableError, match=r"two different records P-1, in P-1\.json and broken-1\.json$"):
        read("PyPI", value, json.dumps(other_record).encode())


def test_a_record_becomes_an_advisory_for_each_package_and_release() -> None:
    result = read(
        "Debian",
        record(
            "DSA-1",
            make_entry("Debian:12", "zlib", *make_fixed_range("1:1.2")),
            make_entry("Debian:13", "zlib", *make_fixed_range("1:1.3")),
            make_entry("Debian:13", "zlib-ng", {"introduced": "0"}),
            upstream=["CVE-1", "CVE-2"],
            summary="A flaw.",
            published="2026-01-01T00:00:00Z",
        ),
    )
    assert [(row.ecosystem, row.name) for row in result if isinstance(row, Advisory)] == [
        ("Debian:12", "zlib"),
        ("Debian:13", "zlib"),
        ("Debian:13", "zlib-ng"),
    ]
    assert result[0] == Advisory(
        id="DSA-1",
        ecosystem="Debian:12",
        name="zlib",
        ranges=(Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "1:1.2"))),),
        upstream=("CVE-1", "CVE-2"),
        summary="A flaw.",
        published="2026-01-01T00:00:00Z",
        modified="2026-01-02T00:00:00Z",
    )


def test_entries_of_one_package_are_joined() -> None:
    advisory = read_advisory_with(
        "npm",
        record(
            "GHSA-1",
            make_entry("npm", "a", *make_fixed_range("1.2"), versions=["1.0", "1.1"]),
            make_entry("npm", "a", {"introduced": "2"}, {"last_affected": "2.1"}, versions=["1.1", "2.0"]),
        ),
    )
    assert [span.events[-1] for span in advisory.ranges] == [("fixed", "1.2"), ("last_affected", "2.1")]
    assert advisory.versions == ("1.0", "1.1", "2.0")


def test_advisories_of_other_ecosystems_are_skipped() -> None:
    shared_record = record(
        "GHSA-1", make_entry("npm", "a", *make_fixed_range("1")), make_entry("PyPI", "b", *make_fixed_range("2"))
    )
    assert read_advisory_with("npm", shared_record).name == "a"
    assert read_advisory_with("PyPI", shared_record).name == "b"
    assert read("Debian", shared_record) == [SilentRecord("GHSA-1", "2026-01-02T00:00:00Z")]


def test_git_ranges_are_dropped() -> None:
    git = {"type": "GIT", "repo": "https://example.org/a", "events": [{"introduced": "0"}, {"fixed": "abc"}]}
    value = record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("2")))
    value["affected"][0]["ranges"].insert(0, git)
    value["affected"].append({"ranges": [git]})
    assert read_advisory_with("PyPI", value).ranges == (Range("ECOSYSTEM", (("introduced", "0"), ("fixed", "2"))),)


MODULAR = "1:18.14.2-3.module+el9.2.0+14843+acebbfea"


@pytest.mark.parametrize(
    ("summary", "module"),
    [
        ("Important: nodejs:18 security update", "nodejs:18"),
        ("Moderate: container-tools:rhel8 security, bug fix, and enhancement update", "container-tools:rhel8"),
        ("ALSA-2022:5468: nodejs:18 security update (Important)", "nodejs:18"),
        ("Moderate: python39:3.9 and python39-devel:3.9 security update", None),
        ("nodejs security update (Important)", None),
        ("", None),
    ],
)
def test_fixed_versions_of_a_module_have_the_stream_in_the_summary(summary: str, module: str | None) -> None:
    value = record(
        "ALSA-2022:5468",
        make_entry("AlmaLinux:8", "nodejs", *make_fixed_range(MODULAR)),
        make_entry("AlmaLinux:8", "openssl", *make_fixed_range("1:1-1.el8")),
        summary=summary,
    )
    assert [(row.name, row.module) for row in read("AlmaLinux", value) if isinstance(row, Advisory)] == [
        ("nodejs", module),
        ("openssl", None),
    ]


def test_a_module_and_the_package_outside_it_are_two_advisories() -> None:
    value = record(
        "ALSA-1",
        make_entry("AlmaLinux:8", "nodejs", *make_fixed_range(MODULAR)),
        make_entry("AlmaLinux:8", "nodejs", *make_fixed_range("1:16-1.el8")),
        summary="Important: nodejs:18 security update",
    )
    result = [row for row in read("AlmaLinux", value) if isinstance(row, Advisory)]
    assert [(row.module, row.ranges[0].events[-1][1]) for row in result] == [
        ("nodejs:18", MODULAR),
        (None, "1:16-1.el8"),
    ]


@pytest.mark.parametrize(
    ("fields", "is_disputed"),
    [
        ({"details": "** DISPUTED ** Tor before 0.1.1.20 kills the circuit."}, True),
        ({"details": "A flaw in x. NOTE: this is disputed by the vendor because of y."}, True),
        ({"summary": "**DISPUTED** x"}, True),
        ({"details": "The DISPUTED keyword of x is mishandled."}, False),
        ({}, False),
    ],
)
def test_a_disputed_record_is_marked(fields: Json, is_disputed: bool) -> None:
    assert (
        read_advisory_with(
            "PyPI", record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")), **fields)
        ).is_disputed
        is is_disputed
    )


def test_malicious_packages_keep_their_ids() -> None:
    advisory = read_advisory_with("npm", record("MAL-2024-1", make_entry("npm", "a", {"introduced": "0"})))
    assert (advisory.id, advisory.ratings) == ("MAL-2024-1", ())


def test_a_withdrawn_record_is_marked() -> None:
    value = record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")), withdrawn="2026-07-09T16:19:00Z")
    assert read_advisory_with("PyPI", value).withdrawn == "2026-07-09T16:19:00Z"


def test_null_means_an_absent_list() -> None:
    value = record(
        "PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1"), versions=None), aliases=None, severity=None
    )
    assert read_advisory_with("PyPI", value).aliases == ()


# --- severity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specific", "note"),
    [
        ({"urgency": "unimportant"}, "unimportant"),
        ({"urgency": "end-of-life"}, "end-of-life"),
        ({"nodsa": "Minor issue"}, "no-dsa"),
        ({"urgency": "low"}, None),
        ({"status": "ignored"}, "wont-fix"),
        ({"fix_state": "Will not fix"}, "wont-fix"),
        ({"fix_state": "Out of support scope"}, "end-of-life"),
        ({"status": "end_of_life"}, "end-of-life"),
        ({"status": ["ignored"]}, None),
    ],
)
def test_a_distributions_reason_for_no_fix_is_a_note(specific: Json, note: str | None) -> None:
    value = record("X-1", make_entry("Debian:13", "a", {"introduced": "0"}, ecosystem_specific=specific))
    assert read_advisory_with("Debian", value).note == note


@pytest.mark.parametrize(
    ("blocks", "imports"),
    [
        ([[{"path": "a/b"}, {"path": "a/c", "symbols": ["F"]}]], ("a/b", "a/c")),
        ([[{"path": "a/b"}], [{"path": "a/c"}]], ("a/b", "a/c")),
        ([[{"path": "a/b"}], None], ()),
        ([[{"path": "a/b"}, {}]], ()),
        ([[{"path": "a/b"}, "a/c"]], ()),
        (["a/b"], ()),
        ([[]], ()),
    ],
)
def test_imports_are_known_if_every_entry_lists_them(blocks: list[Any], imports: tuple[str, ...]) -> None:
    specific = [{"ecosystem_specific": {"imports": block}} if block is not None else {} for block in blocks]
    value = record("GO-1", *(make_entry("Go", "a", *make_fixed_range("1"), **entry) for entry in specific))
    assert read_advisory_with("Go", value).imports == imports


@pytest.mark.parametrize(
    ("word", "events", "note"),
    [
        ("<end-of-life>", (("introduced", "0"),), "end-of-life"),
        ("<ignored>", (("introduced", "0"),), "wont-fix"),
        ("<no-dsa>", (("introduced", "0"),), "no-dsa"),
        ("<unfixed>", (("introduced", "0"),), None),
        ("<undetermined>", (("introduced", "0"),), None),
        ("<not-affected>", (("introduced", "0"), ("fixed", "0")), None),
    ],
)
def test_a_word_of_debians_tracker_is_not_a_version(
    word: str, events: tuple[tuple[str, str], ...], note: str | None
) -> None:
    result = read_advisory_with("Debian", record("X-1", make_entry("Debian:13", "a", *make_fixed_range(word))))
    assert (result.ranges[0].events, result.note) == (events, note)


# --- what cannot be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken_record",
    [
        b"{",
        b"[]",
        b'"\xff"',
        b'{"affected": []}',
        b'{"id": "", "affected": []}',
        b'{"id": "X-1", "aliases": "CVE-1"}',
        b'{"id": "X-1", "affected": 1}',
        b'{"id": "X-1", "affected": [1]}',
        b'{"id": "X-1", "affected": [{"package": {"ecosystem": "PyPI", "name": ""}}]}',
        b"[" * 100_000,
    ],
)
def test_a_record_about_an_unknown_package_is_a_fault(broken_record: bytes) -> None:
    result = read("PyPI", record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1"))), broken_record)
    assert isinstance(result[0], Advisory)
    assert isinstance(result[1], FaultyRecord)
    assert (result[1].name, result[1].is_contained) == ("broken-1.json", False)


@pytest.mark.parametrize(
    "affected",
    [
        make_entry("PyPI", "A", *make_fixed_range("1"), versions="1.0"),
        make_entry("PyPI", "A", {"until": "1"}),
        {**make_entry("PyPI", "A"), "ranges": [{"type": "TIME", "events": []}]},
        {**make_entry("PyPI", "A"), "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": 0}]}]},
    ],
)
def test_an_unreadable_entry_of_a_known_package_is_undetermined(affected: Json) -> None:
    fault, advisory = read("PyPI", record("PYSEC-1", affected))
    assert isinstance(fault, FaultyRecord)
    assert (fault.name, fault.is_contained) == ("PYSEC-1.json", True)
    assert isinstance(advisory, Advisory)
    assert (advisory.name, advisory.ranges) == ("a", (Range("ECOSYSTEM", ()),))


def test_the_size_of_a_record_is_limited() -> None:
    huge = b'{"id": "X-1", "summary": "' + b"x" * RECORD_LIMIT + b'"}'
    (fault,) = read("PyPI", huge)
    assert isinstance(fault, FaultyRecord)
    assert "larger than" in fault.reason


def test_a_member_with_a_wrong_checksum_is_a_fault() -> None:
    data = bytearray(export(record("PYSEC-1", make_entry("PyPI", "a", *make_fixed_range("1")))))
    at = zipfile.ZipFile(BytesIO(bytes(data))).infolist()[0].header_offset
    data[at + 30 + len("PYSEC-1.json") + 20] ^= 0xFF
    (fault,) = FEED.parse(BytesIO(bytes(data)), "PyPI")
    assert isinstance(fault, FaultyRecord)
    assert (fault.name, fault.is_contained) == ("PYSEC-1.json", False)


@pytest.mark.parametrize("data", [b"", b"no zip", export(), export(record("X-1"))[:-30]])
def test_a_file_that_is_not_an_export_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError, match="export of PyPI"):
        list(FEED.parse(BytesIO(data), "PyPI"))


def test_an_export_with_overlapping_members_is_refused() -> None:
    data = bytearray(export(record("A"), record("B")))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)
    with pytest.raises(UnreadableError, match="members overlap"):
        list(FEED.parse(BytesIO(data), "npm"))


def test_an_affected_bitnami_version_includes_every_revision() -> None:
    affected = make_entry("Bitnami", "node", {"introduced": "0"}, {"last_affected": "2.6.0"})
    (span,) = read_advisory_with("Bitnami", record("BIT-node-1", affected)).ranges
    order = Order(BITNAMI.make_version_key)
    advisory = Advisory("BIT-node-1", "Bitnami", "node", (span,))
    affects = {version: order.is_affected(advisory, version) for version in ("2.6.0", "2.6.0-3", "2.6.1", "2.6.1-0")}
    assert affects == {"2.6.0": True, "2.6.0-3": True, "2.6.1": False, "2.6.1-0": False}


def test_a_last_affected_version_of_azure_linux_includes_its_builds() -> None:
    affected = make_entry("Azure Linux:3", "curl", {"introduced": "0"}, {"last_affected": "8.11.1-2"})
    (span,) = read_advisory_with("Azure Linux", record("AZL-1", affected)).ranges
    order = Order(RPM.make_version_key, can_omit_epoch=True)
    advisory = Advisory("AZL-1", "Azure Linux:3", "curl", (span,))
    versions = ("8.11.1-2", "8.11.1-2.azl3", "8.11.1-2.cm2", "8.11.1-3.azl3", "8.11.1-10.azl3", "8.12.0-1.azl3")
    assert [order.is_affected(advisory, version) for version in versions] == [True, True, True, False, False, False]
