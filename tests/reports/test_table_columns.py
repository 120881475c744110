"""Tables on a terminal: no line is broken, and no id is cut."""

from hypothesis import given
from hypothesis import strategies as st

from dockgate.shared.terminal_lines import fit_rows, make_line

ID = "ContainerBuildDeployPipeline-2/ContainerVulnerabilityAssessment/ApproveImage/1"
WORDS = st.lists(st.text("abcdefgh-", min_size=1, max_size=30), max_size=8).map(" ".join)


def render_rows(rows: list[list[str]], width: int) -> list[str]:
    return [text.plain.rstrip() for text in fit_rows([[make_line(cell) for cell in row] for row in rows], width)]


def test_a_table_that_fits_has_aligned_columns() -> None:
    assert render_rows([["A", "B"], ["1", "two words"], ["333", ""]], 80) == ["A    B", "1    two words", "333"]


def test_the_widest_columns_move_below_their_row_and_only_prose_is_cut() -> None:
    reason = "8 HIGH findings (4 of them UNTRIAGED), at most 0 allowed: urllib3 1.23, waitress 1.4.4"
    assert render_rows([["STATE", "APPROVAL", "SUMMARY"], ["Rejected", ID, reason], ["Waiting", ID, ""]], 80) == [
        "STATE",
        "  APPROVAL",
        "  SUMMARY",
        "Rejected",
        f"  {ID}",
        f"  {reason[:77]}…",
        "Waiting",
        f"  {ID}",
    ]


@given(st.integers(1, 6).flatmap(lambda columns: st.lists(st.lists(WORDS, min_size=columns, max_size=columns))))
def test_no_line_is_wider_than_the_terminal_but_for_single_words(rows: list[list[str]]) -> None:
    head = [f"C{number}" for number in range(len(rows[0]))] if rows else ["C"]
    lines = render_rows([head, *rows], 40)
    assert [row_line for row_line in lines if len(row_line) > 40 and " " in row_line.strip()] == []
    for row in rows:
        for cell in row:
            if " " not in cell:
                assert any(cell in row_line for row_line in lines)
