"""OSV records in which an object has a name twice: what parsers disagree on is not known."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vulnerabilities.feeds.feed_files import export
from tests.vulnerabilities.feeds.feed_site import serve_files

from dockgate.vulnerabilities.feed import FaultyRecord, FeedStatement
from dockgate.vulnerabilities.feeds._repeated_names import has_repeated_names
from dockgate.vulnerabilities.feeds.osv import FEED
from dockgate.vulnerabilities.model import Advisory, Range

UNKNOWN_RANGE = (Range("ECOSYSTEM", ()),)
PACKAGE = '"package": {"ecosystem": "PyPI", "name": "flask"}'
RANGES = '"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]'


def read(record: str) -> list[FeedStatement]:
    return list(FEED.parse(BytesIO(export(record.encode())), "PyPI"))


@pytest.mark.parametrize(
    "record",
    [
        f'{{"id": "P-1", "affected": [{{{PACKAGE}, {RANGES}}}], "affected": []}}',
        f'{{"id": "P-1", "id": "P-2", "affected": [{{{PACKAGE}, {RANGES}}}]}}',
        f'{{"id": "P-1", "aff\\u0065cted": [{{{PACKAGE}, {RANGES}}}], "affected" : []}}',
        f'{{"id": "P-1", "withdrawn": null, "withdrawn": "2026-01-01T00:00:00Z", "affected": [{{{PACKAGE}}}]}}',
        '{"id": "P-1", "details": "a \\u0022: b", "affected": [], "affected": []}',
        f'{{"id": "P-1", "affected": [{{{PACKAGE}}}], "database_specific": {{"severity": "HIGH", "severity": "LOW"}}}}',
        f'{{"id": "P-1", "affected": [{{{PACKAGE}, "package": {{"ecosystem": "npm", "name": "flask"}}, {RANGES}}}]}}',
        f'{{"id": "P-1", "affected": [{{"package": {{"ecosystem": "PyPI", "name": "a", "name": "b"}}, {RANGES}}}]}}',
    ],
)
def test_a_record_whose_package_is_ambiguous_may_be_about_any_package(record: str) -> None:
    (fault, *other_members) = read(record)
    assert isinstance(fault, FaultyRecord)
    assert (fault.is_contained, "twice" in fault.reason) == (False, True)
    assert other_members == []


@pytest.mark.parametrize(
    "entry",
    [
        f'{{{PACKAGE}, {RANGES}, "ranges": []}}',
        f'{{{PACKAGE}, {RANGES}, "versions": ["1"], "versions": []}}',
        f'{{{PACKAGE}, "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0", "introduced": "9"}}]}}]}}',
    ],
)
def test_an_ambiguous_entry_of_one_package_makes_that_package_undetermined(entry: str) -> None:
    other_entry = '{"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": ["1"]}'
    fault, advisory, other_advisory = read(f'{{"id": "P-1", "affected": [{entry}, {other_entry}]}}')
    assert isinstance(fault, FaultyRecord)
    assert (fault.is_contained, "twice" in fault.reason) == (True, True)
    assert isinstance(advisory, Advisory)
    assert isinstance(other_advisory, Advisory)
    assert (advisory.name, advisory.ranges) == ("flask", UNKNOWN_RANGE)
    assert (other_advisory.name, other_advisory.versions, other_advisory.ranges) == ("jinja2", ("1",), ())


_NAMES = st.sampled_from(["a", "b", '"', ":", '" :', "\\", " "])
_VALUES = st.recursive(
    st.none() | st.text('"\\ :a', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
)


def _write(value: object, draw_repeats: st.DataObject, repeats: list[str]) -> str:
    """JSON with other spellings, spaces and repeated names."""
    if isinstance(value, dict):
        pairs = list(value.items())
        if pairs and draw_repeats.draw(st.integers(0, 9)) == 0:
            pairs.append(pairs[0])
            repeats.append(pairs[0][0])
        spaces = [draw_repeats.draw(st.sampled_from(["", " ", "\n"])) for _ in pairs]
        texts = (
            f"{_write(name, draw_repeats, repeats)}{space}:{_write(inner, draw_repeats, repeats)}"
            for (name, inner), space in zip(pairs, spaces, strict=True)
        )
        return "{" + ",".join(texts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_write(inner, draw_repeats, repeats) for inner in value) + "]"
    if isinstance(value, str) and draw_repeats.draw(st.booleans()):
        return '"' + "".join(f"\\u{ord(character):04x}" for character in value) + '"'
    return json.dumps(value)


@given(st.dictionaries(_NAMES, _VALUES, max_size=4), st.data())
def test_repeated_names_are_found_in_every_spelling(value: dict[str, object], data: st.DataObject) -> None:
    repeats: list[str] = []
    text = _write(value, data, repeats)
    assert has_repeated_names(text.encode()) == bool(repeats)


def test_a_list_that_has_a_record_twice_with_different_times_is_not_used(tmp_path: Path) -> None:
    """The record could be taken for unchanged. The whole export is fetched instead."""
    export_file = export(b'{"id": "P-1"}')
    rows = b"2026-01-02T00:00:00Z,P-1\n2026-01-01T00:00:00Z,P-1\n"
    with serve_files({"/PyPI/modified_id.csv": rows, "/PyPI/all.zip": export_file}) as site:
        lookup = {"P-1": "2026-01-01T00:00:00Z"}
        files = FEED.fetch(site.url, "PyPI", "etag x", tmp_path, lookup=lambda: lookup)
        assert files.path is not None
        assert files.path.read_bytes() == export_file
        assert files.replaces is None
