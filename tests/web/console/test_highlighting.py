"""Files with colours: by their names alone, escaped, and plain where a lexer could take long."""

import pytest
from markupsafe import Markup

from dockgate.web.console.highlighting import MAX_BYTES, MAX_ELEMENTS, render_code
from dockgate.web.console.text_pages import MAX_LINE, make_text_page, split_lines

# Longer than any machine needs for a short file: no test is decided by it.
LONG = 60.0
PYTHON = '# why <b>\ndef add(a):\n    """Two\nlines."""\n    return a + 1\n'


def _render_text(name: str, text: str, seconds: float = LONG, first: int = 1) -> dict[int, Markup]:
    lines = split_lines(text)
    return render_code(name, lines, make_text_page(lines, first), seconds)


def test_tokens_have_classes_and_all_text_is_escaped() -> None:
    assert _render_text("add.py", PYTHON) == {
        1: '<span class="code-comment"># why &lt;b&gt;</span>',
        2: '<span class="code-keyword">def</span> <span class="code-name">add</span>(a):',
        3: '    <span class="code-string">&#34;&#34;&#34;Two</span>',
        4: '<span class="code-string">lines.&#34;&#34;&#34;</span>',
        5: '    <span class="code-keyword">return</span> a + <span class="code-number">1</span>',
    }


def test_a_later_page_continues_what_began_before() -> None:
    assert list(_render_text("add.py", PYTHON, first=4).items()) == [
        (4, '<span class="code-string">lines.&#34;&#34;&#34;</span>'),
        (5, '    <span class="code-keyword">return</span> a + <span class="code-number">1</span>'),
    ]


@pytest.mark.parametrize(
    ("name", "text", "piece"),
    [
        ("Dockerfile", "RUN a\n", '<span class="code-keyword">RUN</span> a'),
        ("pipeline.yaml", "\n\n  a: 1", '  <span class="code-name">a</span>: 1'),
        ("x.pl", "# \u202e\x07", '<span class="code-comment"># \\u{202e}\\u{7}</span>'),
    ],
)
def test_the_lexer_is_the_usual_one_for_the_name(name: str, text: str, piece: str) -> None:
    assert list(_render_text(name, text).values())[-1] == piece


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unknown", "#!/usr/bin/python\nimport os\n"),  # content chooses no lexer
        ("large.py", "x = 1\n" * (MAX_BYTES // 6 + 1)),
        ("long.py", f"x = '{'y' * MAX_LINE}'\n"),
        ("dense.py", ("1 a " * 400 + "\n") * (MAX_ELEMENTS // 400 + 1)),
        ("empty.py", ""),
    ],
)
def test_other_files_are_plain(name: str, text: str) -> None:
    assert _render_text(name, text) == {}


def test_a_file_on_which_a_lexer_takes_minutes_is_plain_after_a_moment() -> None:
    # Quadratic: from each line the lexer for Java looks for a method in all lines after it.
    lines = ["a"] * (MAX_BYTES // 2)
    page = make_text_page(lines, first=len(lines))
    assert render_code("Slow.java", lines, page, seconds=0.5) == {}


def test_a_text_on_which_a_lexer_took_too_long_is_not_tried_again_for_some_minutes() -> None:
    assert _render_text("slow.py", PYTHON, seconds=0) == {}
    assert _render_text("slow.py", PYTHON) == {}
    assert _render_text("slow.py", f"{PYTHON}\n") != {}
