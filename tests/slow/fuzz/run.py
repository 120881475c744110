"""Fuzzes the parsers under atheris: `make fuzz`, or `sh scripts/fuzz --inputs 20000 npm layer`.

What it finds and counts stays in `build/fuzz`, and the next run goes on from there: a folder a target, with `corpus`,
`crashes` (an input and why, each) and `slow`; and `counts.json`. A run ends badly when an input makes a parser raise
what it must not, take five seconds or more than 512 MB, or when less than 90 % of its lines are reached.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz import line_coverage, targets
from tests.slow.fuzz.ledger import LEDGER, MEMORY

_ROOT = Path(__file__).parent.parent.parent.parent
_FOLDER = _ROOT / "build" / "fuzz"
_BAR = 1_000_000
# Percent.
_LINES = 90
# Seconds of the processor.
_HANG = 5
# Seconds of the clock, after which a process is ended: a busy machine may keep it waiting for very long.
_STALL = 60
# Inputs of one process; then a fresh one goes on, so that none grows without end.
_ROUND = 250_000
# Processes that may be ended by what they ran, until a target is left.
_FALLS = 3


@dataclass(slots=True)
class Counts:
    """Of one target over all runs. `lines` and `reached` are of its parser as it stands; `slowest` is in seconds."""

    inputs: int = 0
    lines: int = 0
    reached: int = 0
    slowest: float = 0.0
    peak_mb: int = 0
    failures: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.reached / (self.lines or 1)

    @property
    def fine(self) -> bool:
        return not self.failures and self.percent >= _LINES and self.peak_mb <= MEMORY >> 20 and self.slowest < _HANG


def fuzz_target(name: str, counts: Counts, inputs: int, seconds: float) -> Counts:
    """Runs a target until it has had so many inputs more, or so much time."""
    folder = _FOLDER / name
    for part in ("corpus", "crashes", "slow"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for old in (
        (folder / "crashes").iterdir() if inputs > 0 else ()
    ):  # run again with the corpus: what still fails comes back
        if old.suffix == ".txt":
            old.unlink()
        else:
            old.rename(folder / "corpus" / old.name)
    ends, aim, falls = time.monotonic() + seconds, counts.inputs + inputs, 0
    while (
        (inputs := min(aim - counts.inputs, _ROUND)) > 0
        and (seconds_left := ends - time.monotonic()) > 0
        and falls < _FALLS
    ):
        before = counts.inputs
        falls += not _round(name, folder, counts, inputs, max(1, int(seconds_left)))
        if counts.inputs == before:
            break
    crashes = [path.name for path in (folder / "crashes").iterdir() if path.suffix != ".txt"]
    for name in crashes:
        (folder / "corpus" / name).unlink(missing_ok=True)
    counts.failures = max(len(crashes), falls)  # a process may fall over without an input to blame
    target = targets.load()[name]
    corpus = sorted((folder / "corpus").iterdir())
    counts.lines = len(line_coverage.list_reachable_lines(target))
    counts.reached = len(line_coverage.list_reached_lines(target, (path.read_bytes() for path in corpus)))
    return counts


def _round(name: str, folder: Path, counts: Counts, inputs: int, seconds: int) -> bool:
    """One process; whether it came to its end by itself."""
    ledger = folder / "ledger"
    ledger.write_bytes(LEDGER.pack(0, counts.slowest))
    flags = [
        *(f"-runs={inputs}", f"-max_total_time={seconds}", f"-timeout={_STALL}", f"-rss_limit_mb={MEMORY >> 20}"),
        *(f"-artifact_prefix={folder / 'crashes'}/", "-print_final_stats=1", "-verbosity=0"),
        f"-report_slow_units={_STALL}",  # by the clock: what is slow for the processor, the child itself tells
    ]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.slow.fuzz.child", name, str(folder), *flags],
            cwd=_ROOT,
            stdout=log,
            stderr=log,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    done_count, counts.slowest = LEDGER.unpack(ledger.read_bytes())
    counts.inputs += done_count
    counts.peak_mb = max(counts.peak_mb, usage.ru_maxrss >> 10)
    return child.returncode == 0


def format_counts(all_counts: dict[str, Counts]) -> str:
    rows = [f"{'target':<12} {'inputs':>10} {'lines':>11} {'reached':>7} {'slowest':>8} {'peak':>7}  failures"]
    for name, counts in sorted(all_counts.items()):
        lines = f"{counts.reached}/{counts.lines}"
        rows.append(
            f"{name:<12} {counts.inputs:>10,} {lines:>11} {counts.percent:>6.1f}% {counts.slowest:>7.3f}s"
            f" {counts.peak_mb:>4} MB  {counts.failures or 'none'}"
        )
    done_count = sum(counts.inputs >= _BAR for counts in all_counts.values())
    return "\n".join([*rows, f"{done_count} of {len(all_counts)} targets have had {_BAR:,} inputs."])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    names = list(targets.load())
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzzes the parsers, and counts on over runs.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)}; all without any")
    parser.add_argument("--inputs", type=int, default=100_000, help="more for each target (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3600, help="at most for each target (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at once (default: %(default)s)")
    arguments = parser.parse_args()
    chosen_targets = arguments.targets or names
    if unknown := set(chosen_targets) - set(names):
        parser.error(f"there is no target {min(unknown)}; there are {', '.join(names)}")
    ledger = _FOLDER / "counts.json"
    stored_counts = json.loads(ledger.read_bytes()) if ledger.exists() else {}
    counts = {name: Counts(**values) for name, values in stored_counts.items() if name in names}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        runs = {
            name: pool.submit(fuzz_target, name, counts.get(name, Counts()), arguments.inputs, arguments.seconds)
            for name in chosen_targets
        }
        for name, run in runs.items():
            counts[name] = run.result()
            _FOLDER.mkdir(parents=True, exist_ok=True)
            ledger.write_text(
                json.dumps({name: asdict(values) for name, values in sorted(counts.items())}, indent=1) + "\n"
            )
            _say(format_counts({name: counts[name]}).splitlines()[1])
    _say(format_counts(counts))
    return 0 if all(counts[name].fine for name in chosen_targets) else 1


if __name__ == "__main__":
    sys.exit(main())
