"""The reason of a failed build: one short sentence, whatever the build printed."""

import pytest

from dockgate.delivery.builders.failure_reason import MAX_REASON, find_last_line, summarize_failure

END = 'subprocess exited with status 3\nsubprocess exited with status 3\nError: building at STEP "{}": exit status 3'


@pytest.mark.parametrize(
    ("last_lines", "expected"),
    [
        (
            f"line 4000\n\x1b[31mFATAL\x1b[0m the reason\n\n{END.format('RUN make')}",
            "Dockerfile: RUN make failed with exit status 3: FATAL the reason",
        ),
        (
            'STEP 2/3: RUN false\nError: building at STEP "RUN false": while running runtime: exit status 1',
            "Dockerfile: RUN false failed with exit status 1",
        ),
        (
            '1 %\r50 %\r\x1b]0;title\x07no "a": b\r\nError: building at STEP "RUN echo "a": b": exit status 2',
            'Dockerfile: RUN echo "a": b failed with exit status 2: no "a": b',
        ),
        (
            'Error: building at STEP "COPY missing /": checking on sources under "/context": copier: stat: "/missing": '
            "no such file or directory",
            'Dockerfile: COPY missing / failed: checking on sources under "/context": copier: stat: "/missing": '
            "no such file or directory",
        ),
        (
            "Error: parse error line 3: unknown instruction: RUNN",
            "Dockerfile does not build: parse error line 3: unknown instruction: RUNN",
        ),
        ("the last words", "Dockerfile does not build: the last words"),
        ("\n \x1b[2K\n", "Dockerfile does not build"),
    ],
)
def test_a_reason_names_the_step_with_its_exit_status_and_last_line(last_lines: str, expected: str) -> None:
    assert summarize_failure("Dockerfile", last_lines) == expected


def test_a_reason_is_short_and_one_line() -> None:
    long = f"{'x' * 9000}\x9b\u202e\n{END.format('RUN ' + 'y' * 9000)}"
    reason = summarize_failure("d/" * 500 + "Dockerfile", long)
    assert len(reason) <= MAX_REASON
    assert "failed with exit status 3: xxx" in reason
    assert reason.isprintable()
    assert len(find_last_line(long) or "") <= MAX_REASON
    assert find_last_line("one\n\x1b[31mtwo\x1b[0m\n") == "two"
    assert find_last_line("") is None
