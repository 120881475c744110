"""Reports on exposure: what hostile images write into names reaches no spreadsheet, page or terminal as a command."""

import csv
import io
from typing import Any

import pytest

from dockgate.reports import _exposure_csv, _exposure_html

HOSTILE = "=cmd|' /C calc'!A0"
SCRIPT = "<script>alert(1)</script>"
ESCAPE = "\x1b]0;title\x07\u202e"


def make_conclusion(sentence: str, certainty: str = "Partial", *, is_all_clear: bool = False) -> dict[str, Any]:
    return {"sentence": sentence, "certainty": certainty, "is_all_clear": is_all_clear}


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
        "conclusion": make_conclusion("1 image contains it; of 1 image it is unknown."),
        "names": [name, "CVE-1"],
        "exploited": None,
        "epss": 0.5,
        "catalogues": [],
        "is_limited": False,
        "as_of": None,
        "answered_at": "2026-11-02",
        "total": 1,
        "moved": 0,
        "caveats": [],
        "services": [],
        "images": [
            {
                "digest": "sha256:a",
                "status": "Approved",
                "cannot_judge_since": None,
                "places": [location],
                "services": [],
                "pipelines": [],
                "packages": [package],
            }
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


def make_absence(
    state: str, certainty: str, *, unknown: dict[str, Any] | None = None, is_all_clear: bool = False
) -> dict[str, Any]:
    """An answer that names no image."""
    no_unknown_images: dict[str, Any] = {"total": 0, "next": None, "reason": None, "images": []}
    conclusion = make_conclusion("No image is known to contain it.", certainty, is_all_clear=is_all_clear)
    total = None if certainty == "Unknown" else 0
    fields: dict[str, Any] = {
        "state": state,
        "conclusion": conclusion,
        "total": total,
        "images": [],
        "unknown": unknown or no_unknown_images,
    }
    return make_exposure("idna") | fields


@pytest.mark.parametrize(
    ("kind", "state", "answer"),
    [
        ("Limited", "Absent", "not searched"),
        ("UnknownName", "UnknownName", "unknown"),
        ("LeftOut", "Absent", "left out"),
        ("StaleFeeds", "Absent", "unknown"),
    ],
)
def test_what_an_answer_leaves_open_is_in_both_reports(kind: str, state: str, answer: str) -> None:
    caveat = {"kind": kind, "sentence": f"Others may contain it {SCRIPT}.", "advice": "Ask someone."}
    exposure = make_absence(state, "Partial" if state == "Absent" else "Unknown") | {"caveats": [caveat]}
    page, table = io.StringIO(), io.StringIO(newline="")
    _exposure_html.write(exposure, page)
    assert '<p class="verdict undetermined">' in page.getvalue()
    assert "Others may contain it &lt;script&gt;" in page.getvalue()
    assert "Ask someone." in page.getvalue()
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


@pytest.mark.parametrize("state", ["NotRecorded", "Undetermined", "UnknownName"])
@pytest.mark.parametrize("images", [[], [{"digest": "sha256:b", "repository": "api", "tag": "1", "reason": "Unread."}]])
def test_a_page_without_an_answer_names_no_number_and_no_absence(state: str, images: list[dict[str, str]]) -> None:
    unknown = {"total": None, "next": None, "reason": "Nothing was recorded.", "images": images}
    output = io.StringIO()
    _exposure_html.write(make_absence(state, "Unknown", unknown=unknown), output)
    page = output.getvalue()
    assert '<p class="verdict undetermined"><b>' in page
    assert "It is unknown which images contain it." in page
    assert "every other image" in page.lower() or "Every image that is not listed above." in page
    assert ("sha256:b" in page) is bool(images)
    for claim in ("0 images", "0 services", "None.", "None of the searched images"):
        assert claim not in page, claim


def test_only_an_all_clear_is_good_news() -> None:
    for is_all_clear, kind in ((True, "approved"), (False, "undetermined")):
        output = io.StringIO()
        _exposure_html.write(make_absence("Absent", "Complete", is_all_clear=is_all_clear), output)
        assert f'<p class="verdict {kind}"><b>' in output.getvalue()


def test_a_page_concludes_in_a_sentence_and_leaves_out_columns_without_a_value() -> None:
    page = write_exposure(_exposure_html.write, "idna")
    assert '<p class="verdict rejected"><b>1 image contains it; of 1 image it is unknown.</b>' in page
    assert "<th>Exposed</th>" in page
    assert "<th>Used by</th>" not in page
    assert '<td><span class="short">web</span><br><code class="digest">sha256:a</code></td>' in page
    assert '<span class="short">since 2026-11-01 10:15 UTC</span>' in page
    assert '<span class="short">because waived</span>' in page
    assert '<span class="short">ana (waiver w1)</span>' in page


def test_an_image_and_a_service_that_cannot_be_judged_say_so_in_both_reports() -> None:
    service = {"service": "web", "task_definition": "web:3", "tasks": 2, "cannot_judge": f"timed: a feed {SCRIPT}"}
    exposure = make_exposure("idna") | {"services": [service]}
    exposure["images"][0] |= {"services": [service], "cannot_judge_since": "2026-11-20T10:00:00.000Z"}
    page, table = io.StringIO(), io.StringIO(newline="")
    _exposure_html.write(exposure, page)
    assert "web:3 (2 tasks, cannot be judged)" in page.getvalue()
    assert "web:3 cannot be judged: timed: a feed &lt;script&gt;" in page.getvalue()
    assert "Approved is the last verdict: cannot be judged since 2026-11-20 10:00 UTC" in page.getvalue()
    _exposure_csv.write(exposure, table)
    first_row = next(iter(csv.DictReader(io.StringIO(table.getvalue()))))
    assert first_row["services"] == "web:3"
    assert first_row["cannot_be_judged"].endswith(f"; web:3 cannot be judged: timed: a feed {SCRIPT}")


def test_a_page_says_that_a_catalogue_is_too_old_or_was_never_read() -> None:
    ages = [
        {"catalogue": "epss", "checked_at": None, "is_stale": True, "reason": "EPSS was never read."},
        {"catalogue": "kev", "checked_at": "2026-01-01T00:00:00Z", "is_stale": True, "reason": "KEV is old."},
    ]
    for exploited_day, is_unknown in (("2026-01-01", False), (None, True)):
        output = io.StringIO()
        _exposure_html.write({**make_exposure("idna"), "exploited": exploited_day, "catalogues": ages}, output)
        html = output.getvalue()
        assert ("<th>Known to be exploited</th><td>unknown: KEV is old.</td>" in html) is is_unknown
        assert "EPSS was never read" not in html, "it has a score"
