"""Writes opam.txt: pairs of versions with opam's own word on each.

    apt-get install opam
    python make-opam.py

`opam admin list` names the versions of a package in their order, those that are equal once, and none that is illegal.
So the two of each pair are a package's of their own, in a repository of empty descriptions.
"""

import random
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

PAIRS = 600
SEEN = """1.0 1.0- 1.0-0 1.00 1.0~beta 1.0~ 1 1.0.0 1..0 v0.16.0 v0.9.2 0.16.0 1.0a 1.0A 1.0+a 1.0_a 1.0-1
1.0-1-2 1.0~-1 - _ + . ~ ~~ -1 -a 1- 1-- 4.14.0 5.2.0~alpha1 5.2.0~beta2 5.2.0~rc1 5.2.0 5.2.0+options 3.07+2
3.07 dev 20240101 2.0-rc1 2.0 v2021-09-14 113.33.03 0.9.10 0.9.9 00 0 a 99999999999999999999
100000000000000000000 1:0 1,0 é 1.0*""".split()  # noqa: SIM905


def make_version(chance: random.Random) -> str:
    return "".join(chance.choice("0019~+-._aZv") for _ in range(chance.randint(1, 7)))


def main() -> None:
    chance = random.Random(28)  # noqa: S311 a repeatable sample
    pairs = {}
    while len(pairs) < PAIRS:
        a, b = (chance.choice(SEEN) if chance.random() < 0.5 else make_version(chance) for _ in "ab")
        if chance.random() < 0.4:
            b = chance.choice((f"{a}-", f"{a}-0", a.replace("1", "01"), f"{a}0", f"0{a}", f"{a}~", f"{a}.00", f"{a}-1"))
        if a != b and (b, a) not in pairs.values():
            pairs[f"p{len(pairs)}"] = a, b
    with TemporaryDirectory() as folder:
        repository = Path(folder)
        (repository / "repo").write_text('opam-version: "2.0"\n', "utf-8")
        for name, pair in pairs.items():
            for version in pair:
                version_folder = repository / "packages" / name / f"{name}.{version}"
                version_folder.mkdir(parents=True)
                (version_folder / "opam").write_text('opam-version: "2.0"\n', "utf-8")
        command = ["opam", "admin", "list", "--all-versions", "--short"]
        sorted_versions = subprocess.run(
            command, cwd=folder, capture_output=True, check=True, encoding="utf-8"
        ).stdout.split()
    messages = subprocess.run(["opam", "--version"], capture_output=True, check=True, encoding="utf-8").stdout.strip()
    result: dict[str, list[str]] = {}
    for line in sorted_versions:
        name, _, version = line.partition(".")
        result.setdefault(name, []).append(version)
    value = (version for pair in pairs.values() for version in pair)
    refused_versions = {version for version in value if not version.isascii() or set(version) & set(":,*")}
    lines = []
    for name, (a, b) in pairs.items():
        if refused_versions.isdisjoint((a, b)):
            answer_lines = result[name]
            lines.append(f"{a} = {b}" if len(answer_lines) == 1 else f"{answer_lines[0]} < {answer_lines[1]}")
        else:
            assert len(result.get(name, ())) < 2
    text = [
        "# Order of opam's versions: `A < B`, `A = B`, or `A !` for what is none.",
        f"# Made by make-opam.py with opam {messages}.",
    ]
    text += [*(f"{version} !" for version in sorted(refused_versions)), *dict.fromkeys(lines)]
    Path(__file__).with_name("opam.txt").write_text("\n".join([*text, ""]), "utf-8")


if __name__ == "__main__":
    main()
