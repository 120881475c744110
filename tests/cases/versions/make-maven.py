"""Writes maven.txt: pairs of versions with the word of Maven's own ComparableVersion on each.

    apt-get install libmaven3-core-java default-jre-headless
    python make-maven.py

ComparableVersion's `main` compares each of its arguments with the one before it.
"""

import random
import subprocess
from itertools import pairwise
from pathlib import Path

JAR = "/usr/share/java/maven3-artifact.jar"
PAIRS = 2000
SEEN = """1 1.0 1.0.0 1.1 1.10 1.9 2.0-alpha-1 2.0-alpha1 2.0a1 2.0-beta-2 2.0-m1 2.0-milestone-1 2.0-rc1 2.0-cr1
2.0-SNAPSHOT 2.0 2.0-ga 2.0.Final 2.0.RELEASE 2.0-sp1 2.0-jre 2.0-1 2.0.1 4.1.0.RELEASE 4.1.0 4.1.1.RELEASE v0.0.5 0.0.5
31.1-jre 31.1-android 1.0-20230101.123456-1 1.0-SNAPSHOT 2.9.10.8 2.9.10 1.2.17.redhat-00008 1.2.17 9.4.43.v20210629
9.4.44.v20210927 5.0.0.Beta1 5.0.0.CR1 5.0.0.Final 3.2.1.Final-redhat-1 1.foo.2 1-rc 1-foo 1.0.0-M1 1.0.0.M1 1.0b3 r09
r9 1.5.7-7 1.5.7-10 10.16.1.1 0 0.1 1-- 1..2 .1 -1 1.x 1_2""".split()  # noqa: SIM905
WORDS = """alpha beta b a m rc cr RC snapshot SNAPSHOT ga final Final RELEASE sp jre foo x redhat incubating 1 0 2
20230101 99999999999999999999""".split()  # noqa: SIM905


def make_version(chance: random.Random) -> str:
    pick = chance.choice
    version = pick(("", "", "", "v")) + ".".join(pick(("0", "1", "2", "10", "01")) for _ in range(chance.randint(0, 4)))
    for _ in range(pick((0, 0, 1, 1, 2, 3))):
        version += (
            pick(("-", ".", "-", "", "--", "..", "_", "+")) + pick([*WORDS, ""]) + pick(("", "", "1", "2", ".1", "-1"))
        )
    return version or "1"


def main() -> None:
    chance = random.Random(17)  # noqa: S311 a repeatable sample
    versions = [chance.choice(SEEN) if chance.random() < 0.4 else make_version(chance) for _ in range(PAIRS + 1)]
    command = ["java", "-cp", JAR, "org.apache.maven.artifact.versioning.ComparableVersion", *versions]
    output = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout.splitlines()
    answers = [line.strip() for line in output if line.startswith("   ")]
    lines = [
        "# Order of Maven versions, one statement a line: `A < B` or `A = B`.",
        "# Made by make-maven.py with the ComparableVersion of maven-artifact 3.9.9.",
    ]
    for (a, b), line in zip(pairwise(versions), answers, strict=True):
        sign = line[len(a) :].split()[0]
        if sign == ">":
            a, b = b, a
        lines.append(f"{a} {'=' if sign == '==' else '<'} {b}")
    (Path(__file__).parent / "maven.txt").write_text("\n".join(dict.fromkeys(lines)) + "\n", encoding="utf-8")


main()
