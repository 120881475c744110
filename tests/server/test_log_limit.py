"""Log files of a host do not grow without end."""

from pathlib import Path

from dockgate.server.log_limit import shorten_logs


def test_a_large_log_starts_again_and_its_program_goes_on_writing(tmp_path: Path) -> None:
    large, small = tmp_path / "registry.log", tmp_path / "server.log"
    small.write_text("few lines\n")
    with large.open("ab", buffering=0) as program:
        for number in range(3):
            program.write(f"{number}".encode() * 20)
            shorten_logs(tmp_path, limit=10)
        program.write(b"last")
    assert large.read_bytes() == b"last"
    assert (tmp_path / "registry.log.1").read_bytes() == b"2" * 20
    assert small.read_text() == "few lines\n"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_does_not_exist_has_no_logs(tmp_path: Path) -> None:
    shorten_logs(tmp_path / "logs")
