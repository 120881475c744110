"""Differences of texts, and folders, on a page that stays small whatever they hold."""

from urllib.parse import quote

from fastapi import Request

from dockgate.delivery.repository_files import EntryKind, TreeEntry
from dockgate.web.console.pages.definitions import MAX_LINES, compare_texts
from dockgate.web.console.pages.repositories import MAX_ENTRIES, MAX_LINKS, MIN_ENTRIES, make_entry_table, mark_changes
from dockgate.web.console.text_pages import MAX_BYTES, MAX_LINE

REQUEST = Request({"type": "http", "path": "/repositories/app/files/a", "query_string": b"", "headers": []})


def test_a_difference_has_its_lines_without_the_names_of_files() -> None:
    assert compare_texts("a\nb", "a\nc") == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert compare_texts("a", "a") == []


def test_a_difference_is_bounded_by_lines_and_by_bytes_and_says_what_is_missing() -> None:
    differences = compare_texts("", "x\n" * (MAX_LINES + 10))
    assert (len(differences), differences[-1]) == (MAX_LINES + 1, " … 11 more lines")
    wide = compare_texts("", f"{'x' * 50_000}\n" * 500)
    assert sum(map(len, wide)) < MAX_BYTES + MAX_LINE
    assert wide[-1].endswith(" more lines")


def test_a_line_of_a_difference_is_marked_by_its_sign_whatever_follows() -> None:
    head = ["diff --git a/q.sql b/q.sql", "index 1..2 100644", "--- a/q.sql", "+++ b/q.sql"]
    content = [
        ("del", "--- a note"),
        ("ins", "+++count"),
        ("span", " diff --git"),
        ("span", "\\ No newline at end of file"),
    ]
    hunks = ["@@ -1,2 +1,2 @@", *(line for _, line in content)]
    marked_lines = list(mark_changes([*head, *hunks, *head, *hunks]))
    expected = [*(("span", line) for line in [*head, hunks[0]]), *content]
    assert marked_lines == expected * 2


def test_a_folder_with_long_names_has_more_pages() -> None:
    for name in ("x", "名" * 85, "𝒳" * 900):
        entries = [TreeEntry(f"{name}{number:03}", EntryKind.FILE, 1) for number in range(MAX_ENTRIES)]
        table = make_entry_table(REQUEST, entries, "main", "a")
        assert table.total == MAX_ENTRIES
        assert len(table.rows) <= max(MAX_LINKS // len(quote(name)), MIN_ENTRIES)
        assert len(table.rows) >= MIN_ENTRIES
        assert (len(table.rows) == MAX_ENTRIES) == (name == "x")
