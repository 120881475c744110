"""Unpacks made-up layers with the runtimes' own code and compares: `make fuzz-layers`. See docs/explanation/fuzzing.md.

Counts stay in `build/layers/counts-MODE.json`, and the next run goes on from the next seed. A find is written to
`build/layers/finds`, as a case for `tests/cases/layers`. The run exits with 1 when a difference is not explained.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fuzz.layers import play, reproducers
from tests.fuzz.layers.compare import read_explanations
from tests.fuzz.layers.generate import Case
from tests.fuzz.layers.play import Played, Player, Tally
from tests.fuzz.layers.runtimes import IMAGE, IN_PLACE, OVERLAY, STORE, Runtimes
from tests.fuzz.layers.shrink import shrink

_ROOT = Path(__file__).parent.parent.parent.parent
_FOLDER = _ROOT / "build" / "layers"
_MODES = {"layers": OVERLAY, "in-place": IN_PLACE, "store": STORE, "images": IMAGE}
_CHUNK = {OVERLAY: 500, IN_PLACE: 50, STORE: 50, IMAGE: 25}
# Finds that are written down.
_FINDS = 200
# Finds of one chunk that are made smaller: where all fail, that takes long and shows nothing more.
_SHRUNK = 3
# Share of the cases that must be read as they stand: a fuzzer whose every case is unread finds nothing.
_READ = 0.3

_player: Player | None = None


def run_chunk(program: Path, mode: str, seeds: range) -> tuple[Tally, list[Played], list[int]]:
    """Run the cases of these seeds: counts, unexplained cases, and their seeds."""
    global _player
    if _player is None:
        _player = Player(Runtimes(program))
    tally = Tally()
    finds: list[Played] = []
    failed_seeds: list[int] = []
    failures: list[Played] = []

    def generate_cases() -> Iterator[Case]:
        for seed in seeds:
            case = play.make(seed, mode)
            case["seed"] = seed
            yield case

    for result in _player.play_all(generate_cases(), mode):
        tally.add(result)
        if result.list_unexplained:
            failures.append(result)
    for result in failures:
        failed_seeds.append(result.case["seed"])
        finds.append(_shrink_case(_player, result, mode) if len(finds) < _SHRUNK else result)
    return tally, finds, failed_seeds


def _shrink_case(player: Player, result: Played, mode: str) -> Played:
    """Reduce a case to a smaller one with the same differences."""
    kinds = result.list_unexplained
    if "honest" in kinds:  # what is smaller need not be honest
        return result

    def has_failed(case: Case) -> bool:
        return player.play(case, mode).list_unexplained >= kinds

    return player.play(shrink(result.case, has_failed), mode)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz-layers", description=__doc__.partition("\n")[0])
    parser.add_argument("--program", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=_MODES, default="layers", help="how the runtimes unpack (default: layers)")
    parser.add_argument("--cases", type=int, default=20_000, help="cases to play (default: 20000)")
    parser.add_argument("--seconds", type=float, default=0, help="stop after this time (default: when all are played)")
    parser.add_argument("--seed", type=int, help="first seed (default: the one after the last run's)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--case", type=Path, nargs="+", help="play these files, and write all answers into them")
    parser.add_argument("--reasons", type=Path, nargs="+", help="write into these files what we say; needs no Go")
    arguments = parser.parse_args()
    if arguments.reasons:
        return _renew(arguments.reasons)
    if not arguments.program:
        parser.error("run scripts/fuzz-layers, which compiles the program that unpacks")
    if arguments.case:
        return _play_files(arguments.program, arguments.case)
    return _run(arguments, _MODES[arguments.mode])


def _run(arguments: argparse.Namespace, mode: str) -> int:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"counts-{arguments.mode}.json"
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"next": 0}
    tally = _load(state)
    first = arguments.seed if arguments.seed is not None else state["next"]
    begin, done_count, failure_count = time.monotonic(), 0, 0
    with ProcessPoolExecutor(arguments.workers) as pool:
        for result, seeds in _run_chunks(pool, arguments, mode, first, begin):
            chunk_tally, finds, failed_seeds = result
            tally.merge(chunk_tally)
            done_count += chunk_tally.cases
            failure_count += len(finds)
            for finding, seed in zip(finds, failed_seeds, strict=True):
                _write(finding, f"{arguments.mode}-{seed}")
            rate = done_count / (time.monotonic() - begin)
            state.update(
                {field.name: getattr(tally, field.name) for field in fields(Tally)},
                next=max(state["next"], seeds.stop),
                commit=_commit(),
                date=_format_now(),
            )
            path.write_text(json.dumps(state, indent=1) + "\n")
            sys.stderr.write(
                f"\r{done_count} cases, {rate:.0f}/s, {failure_count} unexplained, {tally.read / tally.cases:.0%} read "
            )
    sys.stderr.write("\n")
    sys.stdout.write(_make_summary(arguments.mode, tally, done_count, time.monotonic() - begin))
    return int(failure_count > 0 or (tally.read < _READ * tally.cases and mode != IMAGE))


def _run_chunks(
    pool: ProcessPoolExecutor, arguments: argparse.Namespace, mode: str, first: int, begin: float
) -> Iterator[tuple[Any, range]]:
    end = first + arguments.cases
    at = first
    running: dict[Future[Any], range] = {}
    while at < end or running:
        while at < end and len(running) <= arguments.workers:
            if arguments.seconds and time.monotonic() - begin > arguments.seconds:
                end = at
                break
            seeds = range(at, min(at + _CHUNK[mode], end))
            running[pool.submit(run_chunk, arguments.program, mode, seeds)] = seeds
            at = seeds.stop
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield future.result(), running.pop(future)


def _load(state: dict[str, Any]) -> Tally:
    tally = Tally()
    for field in fields(Tally):
        if field.name in state:
            value = state[field.name]
            setattr(tally, field.name, Counter(value) if isinstance(value, dict) else value)
    return tally


def _write(result: Played, name: str) -> None:
    folder = _FOLDER / "finds"
    folder.mkdir(exist_ok=True)
    if len(list(folder.iterdir())) < _FINDS:
        reproducers.write(folder / f"{name}.yaml", result)


def _play_files(program: Path, paths: list[Path]) -> int:
    player = Player(Runtimes(program))
    has_failed = False
    for path in paths:
        case, mode = reproducers.read(path)
        result = player.play(case, mode)
        reproducers.write(path, result, mode=mode)
        has_failed |= bool(result.list_unexplained)
        for difference in result.differences:
            sys.stdout.write(f"{path}: {difference}\n")
    return int(has_failed)


def _renew(paths: list[Path]) -> int:
    has_failed = False
    for path in paths:
        result = reproducers.replay(path)
        reproducers.write(path, result, mode=reproducers.read(path)[1])
        has_failed |= bool(result.list_unexplained)
    return int(has_failed)


def _make_summary(name: str, tally: Tally, done_count: int, seconds: float) -> str:
    lines = [
        f"{name}: {done_count} cases in {seconds:.0f} s ({done_count / max(seconds, 1):.0f} a second); in all runs:",
        f"  {tally.cases} cases, {tally.layers} layers, {tally.read / max(tally.cases, 1):.1%} read as they stand",
        f"  unpacked by the runtimes: {tally.unpacked} (all that are read, and one in 16 of the others)",
        f"  without oddities: {tally.bare}, of which read {tally.bare_read / max(tally.bare, 1):.1%}",
        f"  taken: {dict(tally.taken)}; refused: {dict(tally.refused)}",
        f"  paths that we see and no runtime has: {tally.extras}",
    ]
    for kind, count in sorted(tally.classes.items()):
        lines.append(f"  {kind}: {count}, {'explained' if kind in read_explanations() else 'NOT EXPLAINED'}")
    return "\n".join(lines) + "\n"


def _commit() -> str:
    git_result = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True)
    return git_result.stdout.strip()


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
