"""One target under atheris, in a process of its own: `python -m tests.slow.fuzz.child TARGET FOLDER [libFuzzer flags]`.

FOLDER gets `corpus`, `crashes` and `slow`; `ledger`, which it holds already, is where this process counts, so that
nothing is lost when it is ended. Atheris finds its way by what of the parser's code an input runs through.
"""

import hashlib
import importlib
import mmap
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random

import atheris
from tests.slow.fuzz.ledger import LEDGER, MEMORY

with atheris.instrument_imports(include=["dockgate"]):
    from tests.fuzz import targets

    TARGETS = targets.load()

# Seconds of the processor from which on an input is kept as slow.
SLOW = 0.5
# Bytes of an input: what is larger makes all that follow it slow.
_LONGEST = 1 << 16


def main(name: str, folder: Path, flags: list[str]) -> None:
    target = TARGETS[name]
    with atheris.instrument_imports(include=["dockgate"]):
        for module in target.modules:  # those that are imported at first use
            importlib.import_module(module)
    for seed in target.seeds:
        (folder / "corpus" / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    with (folder / "ledger").open("r+b") as ledger:
        counts = mmap.mmap(ledger.fileno(), LEDGER.size)
    count, slowest = LEDGER.unpack(counts)
    failed_places: set[tuple[str, str, int | None]] = set()

    def call(data: bytes) -> None:
        nonlocal count, slowest
        begin = time.process_time()
        try:
            target.run(data)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            bug = (type(error).__name__, where.filename, where.lineno)
            if bug not in failed_places:  # one input for each is enough, and the others go on
                failed_places.add(bug)
                keep(folder / "crashes", data, traceback.format_exc())
        seconds = time.process_time() - begin
        count += 1
        if seconds > slowest:
            slowest = seconds
            if seconds > SLOW:
                keep(folder / "slow", data, f"{seconds:.2f} s\n")
        LEDGER.pack_into(counts, 0, count, slowest)

    def mutate_input(data: bytes, limit: int, seed: int) -> bytes:
        chance = Random(seed)  # noqa: S311 - libFuzzer's own chance, so that a run can be repeated
        return target.mutate_input(data, chance, lambda part: atheris.Mutate(part, len(part) + 64))[:limit]

    warnings.simplefilter("error")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    atheris.Setup(
        [sys.argv[0], *flags, f"-max_len={_LONGEST}", str(folder / "corpus")], call, custom_mutator=mutate_input
    )
    atheris.Fuzz()


def keep(folder: Path, data: bytes, report: str) -> None:
    name = hashlib.sha256(data).hexdigest()[:16]
    (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_text(report)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
