"""Writes conan.txt: pairs of versions with the word of Conan's own Version on each, and what its references refuse.

pip install conan
python make-conan.py
"""

import random
from importlib.metadata import version as read_version
from pathlib import Path

from conan.api.model import RecipeReference
from conan.errors import ConanException
from conan.tools.scm import Version

PAIRS = 600
SEEN = """1.2.13 1.2.11 1.3 1.3.0 1.3.00 1.10 1.9 3.0.0 3.0.0-beta1 3.0.0-beta.1 3.0.0-beta.0 3.0.0-beta 3.0.0-
3.0.0+1 3.0.0-rc1+2 3.0.0+1+2 3.0.0-a-b cci.20220101 cci.20230920 system 1.1.1w 1.1.1k 1.1.1 1.1.10 10 2 1a 9a
01 1_0 1..0 0 00 1.0.0.0.1 20230125.3 2023.01.25 1.82.0 v1.0 _1 8.4.0 9e 9f 1.+2+3 5.15.2-lts-lgpl""".split()  # noqa: SIM905
ILLEGAL = ("-1.0", "1.0 ", "1:0", "1.0~a", "1" * 102, "+1.0", "é1", ".1")


def make_version(chance: random.Random) -> str:
    return chance.choice("019a_") + "".join(chance.choice("00129+-...._aZ") for _ in range(chance.randint(1, 7)))


def main() -> None:
    chance = random.Random(31)  # noqa: S311 a repeatable sample
    lines = [f"# Order of Conan's versions. Made by make-conan.py with Conan {read_version('conan')}."]
    for version in ILLEGAL:
        try:
            RecipeReference("name", version).validate_ref(allow_uppercase=True)
        except ConanException:
            lines.append(f"{version} !")
    for _ in range(PAIRS):
        a, b = (chance.choice(SEEN) if chance.random() < 0.5 else make_version(chance) for _ in "ab")
        if chance.random() < 0.3:
            b = a + chance.choice((".0", ".0.0", "-0", "+0", "-a", ".a", "-0.0", "0"))
        remaining, right = Version(a), Version(b)
        lines.append(f"{a} = {b}" if remaining == right else f"{a} < {b}" if remaining < right else f"{b} < {a}")
        assert (remaining < right) + (right < remaining) + (remaining == right) == 1
    Path(__file__).with_name("conan.txt").write_text("\n".join([*dict.fromkeys(lines), ""]), "utf-8")


if __name__ == "__main__":
    main()
