"""What Dockgate, Syft and Trivy find in the same images, compared package by package.

    python bench/accuracy.py [--write]

Every difference must have an explanation in `accuracy.yaml`; one without fails the run. `--write` renews
docs/accuracy.md from the comparison and the explanations.
"""

import fnmatch
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from packageurl import PackageURL

import _images

HERE = Path(__file__).resolve().parent
EXPLANATIONS = HERE / "accuracy.yaml"
PAGE = HERE.parent / "docs" / "accuracy.md"
DOCKGATE = Path(sys.executable).parent / "dockgate"

Package = tuple[str, str, str]
"""purl type, name with namespace, version"""


@dataclass(frozen=True)
class Difference:
    """A package that `peer` has and we have not (side "peer"), or the other way round (side "ours")."""

    image: str
    peer: str
    side: str
    package: Package


@dataclass
class Explanation:
    """`type`, `peer`, `side`, `name` and `version` are patterns as in file names; `why` is told on the page."""

    why: str
    type: str = "*"
    peer: str = "*"
    side: str = "*"
    name: str = "*"
    version: str = "*"
    image: str = "*"

    def holds(self, one: Difference) -> bool:
        kind, name, version = one.package
        pairs = ((kind, self.type), (one.peer, self.peer), (one.side, self.side), (name, self.name))
        pairs += ((version, self.version), (one.image, self.image))
        return all(
            any(fnmatch.fnmatchcase(value, single.strip()) for single in pattern.split(",")) for value, pattern in pairs
        )


def normal(purl: str) -> Package:
    """The same package under the same key, however a program writes it: without epoch, v and case where they differ."""
    found = PackageURL.from_string(purl)
    name = f"{found.namespace}/{found.name}" if found.namespace else found.name
    version = found.version or ""
    if found.type in ("deb", "rpm", "apk"):
        name, version = found.name, version.split(":", 1)[-1]
    elif found.type == "golang":
        version = version.removeprefix("v")
    elif found.type in ("pypi", "nuget"):
        name = name.lower().replace("_", "-").replace(".", "-")
    return found.type, name, version


def ours(image: Path) -> set[Package]:
    command = [str(DOCKGATE), "sbom", f"oci:{image}", "-o", "json"]
    document = _json(command, DOCKGATE_CACHE=str(_images.BUILD / "work" / "dockgate"))
    return {normal(package["purl"]) for platform in document["platforms"] for package in platform["packages"]}


def syft(image: Path) -> set[Package]:
    command = [str(_images.peers() / "syft"), "-q", "-o", "json", f"oci-dir:{image}"]
    document = _json(command, SYFT_CHECK_FOR_APP_UPDATE="false")
    return {normal(one["purl"]) for one in document["artifacts"] if one.get("purl")}


def trivy(image: Path) -> set[Package]:
    """Without jars: for those it needs a database that it fetches."""
    command = [str(_images.peers() / "trivy"), "image", "--quiet", "--offline-scan", "--format", "cyclonedx"]
    command += ["--cache-dir", str(_images.BUILD / "work" / "trivy"), "--skip-files", "**/*.jar", "--input", str(image)]
    document = _json(command)
    return {normal(one["purl"]) for one in document.get("components", ()) if one.get("purl")}


def _json(command: list[str], **environment: str) -> dict[str, list[dict[str, str]]]:
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {done.returncode}")
    found: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return found


def main(write: bool) -> int:
    explanations = [Explanation(**one) for one in yaml.safe_load(EXPLANATIONS.read_text("utf-8"))]
    counts: dict[tuple[str, str], Counter[str]] = {}
    used: Counter[int] = Counter()
    open_ones: list[Difference] = []
    for name, image in _images.layouts().items():
        found = {"Dockgate": ours(image), "Syft": syft(image), "Trivy": trivy(image)}
        for program, packages in found.items():
            counts[name, program] = Counter(kind for kind, *_ in packages)
        for peer in ("Syft", "Trivy"):
            sides = (("ours", found["Dockgate"] - found[peer]), ("peer", found[peer] - found["Dockgate"]))
            for side, packages in sides:
                for package in sorted(packages):
                    one = Difference(name, peer, side, package)
                    place = next((at for at, told in enumerate(explanations) if told.holds(one)), None)
                    if place is None:
                        open_ones.append(one)
                    else:
                        used[place] += 1
    for one in open_ones:
        where = f"only {one.peer} has" if one.side == "peer" else f"{one.peer} lacks"
        print(f"{one.image}: {where} {' '.join(one.package)}")
    idle = [told.why for at, told in enumerate(explanations) if not used[at]]
    for why in idle:
        print(f"explains nothing: {why}")
    print(f"{sum(used.values())} differences explained, {len(open_ones)} not")
    if write and not open_ones:
        PAGE.write_text(page(counts, explanations, used), "utf-8")
    return 1 if open_ones or idle else 0


def page(counts: dict[tuple[str, str], Counter[str]], explanations: list[Explanation], used: Counter[int]) -> str:
    lines = [
        "# Accuracy",
        "",
        "<!-- Made by `python bench/accuracy.py --write`; explanations stand in bench/accuracy.yaml. -->",
        "",
        "What Dockgate, Syft and Trivy find in the same images, compared by type, name and version. The images are",
        "made by `bench/_images.py` of what Debian, PyPI and npm publish. Trivy is run without jars, which need a",
        "database that it fetches. Each difference has an explanation below, or the comparison fails.",
        "",
        "## Packages found",
        "",
    ]
    for image in _images.NAMES:
        kinds = sorted({kind for (name, _), found in counts.items() if name == image for kind in found})
        lines += [f"### {image}", "", "| program | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
        for program in ("Dockgate", "Syft", "Trivy"):
            found = counts[image, program]
            lines.append(f"| {program} | " + " | ".join(str(found[kind] or "–") for kind in kinds) + " |")
        lines.append("")
    lines += ["## Differences", "", "| count | peer | only in | type | why |", "|---|---|---|---|---|"]
    for at, told in enumerate(explanations):
        side = {"ours": "Dockgate", "peer": "the peer"}.get(told.side, "either")
        peer = "both" if told.peer == "*" else told.peer
        lines.append(f"| {used[at]} | {peer} | {side} | {told.type} | {told.why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
