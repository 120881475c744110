"""How the console writes states, times and text from outside."""

from datetime import UTC, datetime

import pytest

from dockgate.delivery.model import ApprovalState, RunState
from dockgate.delivery.service_model import TaskState
from dockgate.gate.model import Status
from dockgate.vulnerabilities.model import Severity
from dockgate.web.console import formats, terminal_text

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def test_long_names_break_between_words_and_cannot_act() -> None:
    text = 'ContainerCheck/Approval: <b>"\u202e'
    parts = (
        str(formats.mark_breakable(text)).removeprefix('<bdi class="foreign">').removesuffix("</bdi>").split("<wbr>")
    )
    assert parts[:2] == ["Container", "Check/"]
    assert parts[2].startswith("Approval: &lt;b&gt;&#34;")
    assert "\u202e" not in parts[2]


def test_an_address_breaks_after_a_part_of_its_path_and_not_after_its_scheme() -> None:
    html = formats.mark_breakable("https://feeds.example/all/kev.json")
    assert html == '<bdi class="foreign">https://feeds.example/<wbr>all/<wbr>kev.json</bdi>'


def test_no_line_of_a_command_ends_within_a_word_with_a_hyphen() -> None:
    command = "apt-get satisfy -y 'a-b (>= 2)' </pre>"
    html = formats.mark_command(command)
    words = [f'<span class="whole">{word}</span>' for word in ("apt-get", "-y", "&#39;a-b")]
    assert html == f"{words[0]} satisfy {words[1]} {words[2]} (&gt;= 2)&#39; &lt;/pre&gt;"
    for text in ("pip install a-b " * 200, "-----BEGIN\na-b"):
        assert formats.mark_command(text) == text


def test_no_line_breaks_in_the_name_of_a_vulnerability_or_a_package() -> None:
    html = formats.mark_breakable("web-api 1 (CVE-2026-4939351 fixed in 2), CVE-2026-1, a-b/c-d <b>-")
    names = [f'<span class="whole">{name}</span>' for name in ("web-api", "(CVE-2026-4939351", "CVE-2026-1,")]
    end = 'a-b/<wbr>c-d <span class="whole">&lt;b&gt;-</span>'
    assert html == f'<bdi class="foreign">{names[0]} 1 {names[1]} fixed in 2), {names[2]} {end}</bdi>'


def test_the_reason_of_a_rejection_names_neither_action_nor_state() -> None:
    reason = "Gate/Approve: policy default: Undetermined: app.jar is encrypted"
    assert formats.shorten_rejection(reason) == "policy default: app.jar is encrypted"
    assert formats.shorten_rejection("rejected by ada: a/b: no") == "rejected by ada: a/b: no"


@pytest.mark.parametrize("state", [*Status, *RunState, *ApprovalState, *TaskState])
def test_every_state_has_a_mark(state: str) -> None:
    assert formats.get_mark(state).word != "Unknown"


def test_an_unknown_state_looks_unknown_and_never_good() -> None:
    assert formats.get_mark("something new") == formats.Mark("diamond-question", "unknown", "Unknown")
    assert formats.get_mark(Status.UNDETERMINED).tone == "unknown"


def test_states_that_mean_different_things_look_different_without_colour() -> None:
    icons = {state: formats.get_mark(state).icon for state in (*Status, RunState.WAITING, "AtRisk")}
    assert len(set(icons.values())) == len(icons)


def test_every_severity_has_its_bars() -> None:
    assert [formats.count_bars(severity) for severity in Severity] == [4, 3, 2, 1, 0, None]


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb", "a\\u{1b}[31mb"),
        ("user\u202eexe.png", "user\\u{202e}exe.png"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_invisible_characters_become_visible(text: str, visible: str) -> None:
    assert terminal_text.escape_invisible(text) == visible


def test_the_beginning_of_a_message_is_short_whatever_the_message_is() -> None:
    assert formats.mark_beginning("Raise <b>\n\nmore") == '<bdi class="foreign">Raise &lt;b&gt;</bdi>'
    assert formats.mark_beginning("x" * 770_000) == f'<bdi class="foreign">{"x" * (formats.MAX_BEGINNING - 1)}…</bdi>'


def test_foreign_text_is_escaped_and_isolated() -> None:
    assert formats.mark_foreign("<b>\u202e") == '<bdi class="foreign">&lt;b&gt;\\u{202e}</bdi>'


@pytest.mark.parametrize(
    ("earlier_time", "distance"),
    [
        ("2026-11-28T11:59:20.000Z", "40 s ago"),
        ("2026-11-28T09:00:00.000Z", "3 h ago"),
        ("2026-12-04T12:00:00.000Z", "in 6 d"),
        ("", ""),
        (None, ""),
        ("no time", ""),
    ],
)
def test_distances_in_time_have_one_unit(earlier_time: str | None, distance: str) -> None:
    assert formats.format_age(earlier_time, NOW) == distance


def test_a_time_has_its_zone_and_its_exact_value() -> None:
    html = formats.render_time("2026-11-27T14:02:05.000Z")
    assert html == (
        '<time datetime="2026-11-27T14:02:05.000Z" title="2026-11-27 14:02:05 UTC">'
        '<span class="nowrap">2026-11-27</span> 14:02\u00a0UTC</time>'
    )
    assert "–" in formats.render_time("")


@pytest.mark.parametrize(
    ("start", "end", "length"),
    [
        ("2026-11-28T11:58:48.000Z", "", "1m12s"),
        ("2026-11-28T11:00:00.000Z", "2026-11-28T11:00:03.000Z", "3s"),
        ("2026-11-28T09:00:00.000Z", "2026-11-28T11:05:00.000Z", "2h05m"),
        ("", "", ""),
        ("2026-11-28T12:00:09.000Z", "", "0s"),
    ],
)
def test_durations_are_formatted(start: str, end: str, length: str) -> None:
    assert formats.format_duration(start, end, NOW) == length


def test_an_audit_entry_shows_human_times_and_the_first_digits_of_digests() -> None:
    commit, digest = "4e1c" * 10, "sha256:" + "9f" * 32
    html = str(formats.render_audit_text(f"{commit} on main\n{digest} <b> until 2999-01-01T00:00:00.000Z"))
    assert f'title="{commit}">4e1c4e1c4e1c…</span> on main<br>' in html
    assert f'title="{digest}">sha256:9f9f9f9f9f9f…</span> &lt;b&gt; until <time' in html
    assert ">2999-01-01</span> 00:00\u00a0UTC</time>" in html


@pytest.mark.parametrize(
    ("at", "distance"), [("2027-06-30", "in 213 d"), ("2999-01-01", "in 972 years"), ("2026-11-26", "2 d ago")]
)
def test_distances_in_time_have_a_unit_that_people_can_imagine(at: str, distance: str) -> None:
    assert formats.format_age(at, NOW) == distance
