"""Reports on exposure: what hostile images write into names reaches no spreadsheet, page or terminal as a command."""

import csv
import io
from typing import Any

import pytest

from dockgate.reports import _exposure_csv, _exposure_html

HOSTILE = "=cmd|' /C calc'!A0"
SCRIPT = "<script>alert(1)</script>"
ESCAPE = "\x1b]0;title\x07\u202e"


def make_exposure(name: str) -> dict[str, Any]:
    package = {
        "name": name,
        "version": name,
        "purl": name,
        "ecosystem": "PyPI",
        "platform": "linux/amd64",
        "layer": "sha256:1",
        "origin": "own",
        "is_owned": False,
        "paths": 1,
        "vulnerability": "CVE-1",
        "severity": "HIGH",
        "fixed": None,
        "since": "2026-11-01T10:15:35.729Z",
        "until": None,
        "ended_by": None,
        "life": [
            {"at": "2026-11-01", "is_open": True, "why": "first seen", "by": None},
            {"at": "2026-11-02", "is_open": False, "why": "waived", "by": "w1"},
        ],
        "waived": [{"kind": "waiver", "by": "w1", "owner": "ana", "reason": name, "until": None, "repository": "web"}],
    }
    location = {"repository": "web", "tag": None, "since": "2026-11-01", "until": None}
    return {
        "question": name,
        "state": "Present",
        "names": [name, "CVE-1"],
        "exploited": None,
        "epss": 0.5,
        "is_limited": False,
        "as_of": None,
        "answered_at": "2026-11-02",
        "total": 1,
        "moved": 0,
        "caveats": [],
        "services": [],
        "images": [
            {"digest": "sha256:a", "places": [location], "services": [], "pipelines": [], "packages": [package]}
        ],
        "unknown": {
            "total": 1,
            "next": None,
            "reason": name,
            "images": [{"digest": "sha256:b", "repository": "api", "tag": "1", "reason": name}],
        },
    }


def write_exposure(write: Any, name: str) -> str:
    output = io.StringIO(newline="")
    write(make_exposure(name), output)
    return output.getvalue()


@pytest.mark.parametrize("name", [HOSTILE, "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "\n@x"])
def test_no_cell_begins_like_a_formula(name: str) -> None:
    for row in csv.DictReader(io.StringIO(write_exposure(_exposure_csv.write, name))):
        for cell in row.values():
            assert not cell.lstrip().startswith(("=", "+", "-", "@")), cell


def test_a_page_says_how_many_images_are_left_out_and_is_no_all_clear_then() -> None:
    output = io.StringIO()
    unknown: dict[str, Any] = {"total": 0, "next": None, "reason": None, "images": []}
    empty_answer = {"state": "Absent", "total": 0, "images": [], "unknown": unknown}
    sentence = "2 other images that no tag names any more contain it: see `dockgate where --all-tags`."
    caveats = [{"kind": "LeftOut", "sentence": sentence, "advice": None}]
    _exposure_html.write(make_exposure("idna") | empty_answer | {"moved": 2, "caveats": caveats}, output)
    assert "2 other images that no tag names any more contain it" in output.getvalue()
    assert "verdict approved" not in output.getvalue()


@pytest.mark.parametrize(
    ("kind", "state", "answer"),
    [
        ("Limited", "Absent", "not searched"),
        ("UnknownName", "UnknownName", "unknown"),
        ("LeftOut", "Absent", "left out"),
    ],
)
def test_what_an_answer_leaves_open_is_in_both_reports(kind: str, state: str, answer: str) -> None:
    unknown: dict[str, Any] = {"total": 0, "next": None, "reason": None, "images": []}
    caveat = {"kind": kind, "sentence": f"Others may contain it {SCRIPT}.", "advice": "Ask someone."}
    exposure = make_exposure("idna") | {"state": state, "total": 0, "images": [], "unknown": unknown}
    exposure |= {"caveats": [caveat], "is_limited": kind == "Limited"}
    page, table = io.StringIO(), io.StringIO(newline="")
    _exposure_html.write(exposure, page)
    assert '<p class="verdict undetermined">' in page.getvalue()
    assert "Others may contain it &lt;script&gt;" in page.getvalue()
    assert "Ask someone." in page.getvalue()
    assert ("0 images contain it" in page.getvalue()) is (state == "Absent")
    _exposure_csv.write(exposure, table)
    (row,) = csv.DictReader(io.StringIO(table.getvalue()))
    assert (row["answer"], row["reason"], row["image"]) == (answer, f"Others may contain it {SCRIPT}. Ask someone.", "")


def test_a_page_has_no_markup_of_names() -> None:
    page = write_exposure(_exposure_html.write, SCRIPT)
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("write", [_exposure_csv.write, _exposure_html.write])
def test_nothing_steers_a_terminal(write: Any) -> None:
    text = write_exposure(write, ESCAPE)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_unknown_images_are_rows_of_their_own() -> None:
    rows = list(csv.DictReader(io.StringIO(write_exposure(_exposure_csv.write, "idna"))))
    answers = [(row["answer"], row["image"]) for row in rows]
    assert answers == [("contains it", "sha256:a"), ("unknown", ""), ("unknown", "sha256:b")]
    assert rows[0]["waived_by"] == "ana (waiver w1)"


def test_a_page_is_no_good_news_while_something_is_unknown() -> None:
    for state, unknown, kind in (
        ("Absent", {"total": 0, "next": None, "reason": None, "images": []}, "approved"),
        ("Absent", {"total": 0, "next": None, "reason": "Nothing was matched.", "images": []}, "undetermined"),
        ("NotRecorded", {"total": 0, "next": None, "reason": "Nothing was recorded.", "images": []}, "undetermined"),
    ):
        output = io.StringIO()
        _exposure_html.write(
            {**make_exposure("idna"), "state": state, "total": 0, "images": [], "unknown": unknown}, output
        )
        assert f'<p class="verdict {kind}"><b>' in output.getvalue()


def test_a_page_counts_in_words_and_leaves_out_columns_without_a_value() -> None:
    page = write_exposure(_exposure_html.write, "idna")
    assert "1 image contains it, 0 services run one; of 1 image it is unknown." in page
    assert "<th>Exposed</th>" in page
    assert "<th>Used by</th>" not in page
    assert '<td><span class="short">web</span><br><code class="digest">sha256:a</code></td>' in page
    assert '<span class="short">since 2026-11-01 10:15 UTC</span>' in page
    assert '<span class="short">because waived</span>' in page
    assert '<span class="short">ana (waiver w1)</span>' in page
