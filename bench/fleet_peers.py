"""Judging images one by one by their bills of materials, as Trivy does, with the same advisories.

    python bench/fleet_peers.py [--images 20] [--runs 3]

The images are the first of `bench/fleet.py`. Each program is a whole process that reads one bill: `dockgate scan` and
`trivy sbom` CycloneDX that Dockgate wrote, and Trivy the same after `syft convert`. The time for 10,000 images is
extrapolated from one process on one core; `bench/fleet.py` measures what the index of the fleet takes instead. Trivy's
database is made of our advisories, by a program that needs Debian's golang-go and golang-github-coreos-bbolt-dev.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import _advisories
import _fleets
import _images
import _peers
from dockgate.reports import InventoryReport, cyclonedx
from dockgate.scanner.model import Inventory, Package
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.model import Advisory, Severity

FLEET = 10_000
# Ecosystem of OSV: Trivy's bucket, and its source.
BUCKETS = {
    "Debian:13": ("debian 13", "debian"),
    "PyPI": ("pip::GitHub Security Advisory Pip", "ghsa"),
    "npm": ("npm::GitHub Security Advisory Npm", "ghsa"),
}
SOURCE = _images.HERE / "trivy_db"


def main(count: int, runs: int) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {_peers.read_versions()}"
    )
    data = _advisories.get_data_folder()
    generator = _fleets.Generator(data / "advisories.db")
    inventories = [inventory for _, inventory in generator.generate_inventories(count)]
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name:
        folder = Path(name)
        make_database(folder / "trivy", read_advisories(data / "advisories.db", generator))
        bills = [write_bill(folder / f"{number}.json", inventory) for number, inventory in enumerate(inventories)]
        peer_bills = [convert(bill) for bill in bills]
        trivy = [str(_peers.get_folder() / "trivy"), "sbom", "--quiet", "--offline-scan", "--skip-db-update"]
        trivy += ["--cache-dir", str(folder / "trivy"), "--format", "json"]
        environment = {**os.environ, "DOCKGATE_DATA": str(data)}
        dockgate = [str(_advisories.DOCKGATE), "scan", "-o", "json"]
        programs: dict[str, Callable[[int], tuple[float, int]]] = {
            "dockgate scan": lambda at: run([*dockgate, f"sbom:{bills[at]}"], environment, count_ours),
            "trivy sbom": lambda at: run([*trivy, str(bills[at])], dict(os.environ), count_trivys),
            "trivy sbom of Syft's": lambda at: run([*trivy, str(peer_bills[at])], dict(os.environ), count_trivys),
        }
        times: dict[str, list[float]] = {program: [] for program in programs}
        findings = dict.fromkeys(programs, 0)
        for at in range(count * runs):
            for program, measure in programs.items():
                seconds, number = measure(at % count)
                times[program].append(seconds)
                findings[program] += number
        for program, seconds_of_runs in times.items():
            middle = statistics.median(seconds_of_runs)
            print(
                f"{program:22} {middle:6.3f} s an image ({min(seconds_of_runs):.3f}–{max(seconds_of_runs):.3f}),"
                f" {findings[program] / runs / count:6.1f} findings in the mean image,"
                f" {middle * FLEET / 60:6.0f} minutes for {FLEET:,} images (extrapolated)"
            )


def read_advisories(database: Path, generator: _fleets.Generator) -> Sequence[Advisory]:
    """All advisories of the ecosystems that the fleet has packages of."""
    packages = tuple(
        Package(name, "1", "", ecosystem, name, "1", "")
        for ecosystem, names in generator.names.items()
        for name in names
    )
    with Database.open(database) as advisory_database:
        return advisory_database.read_snapshot([Inventory(None, "", None, (), packages, ())]).advisories


def make_database(cache: Path, entries: Sequence[Advisory]) -> None:
    """Write the advisories as a database of Trivy, version 2."""
    database_folder = cache / "db"
    database_folder.mkdir(parents=True)
    program = cache / "trivy_db"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": f"{cache / 'go'}:/usr/share/gocode"}
    build = ["go", "build", "-o", str(program), str(SOURCE / "main.go")]
    subprocess.run(build, env=environment | {"GOCACHE": str(cache / "cache"), "CGO_ENABLED": "0"}, check=True)
    text = "".join(json.dumps(line) + "\n" for entry in entries for line in make_trivy_records(entry))
    text += "".join(
        json.dumps({"path": ["data-source"], "key": bucket, "value": {"ID": source, "Name": bucket}}) + "\n"
        for bucket, source in BUCKETS.values()
    )
    subprocess.run([str(program), str(database_folder / "trivy.db")], input=text, text=True, check=True)
    ends = dict.fromkeys(("NextUpdate", "UpdatedAt", "DownloadedAt"), "2100-01-01T00:00:00Z")
    (database_folder / "metadata.json").write_text(json.dumps({"Version": 2, **ends}))


def make_trivy_records(advisory: Advisory) -> Iterator[dict[str, Any]]:
    """An advisory as Trivy stores it, and its severity."""
    bucket, source = BUCKETS[advisory.ecosystem]
    names = sorted(name for name in (advisory.id, *advisory.aliases, *advisory.upstream) if name.startswith("CVE-"))
    name = names[0] if names else advisory.id
    value: dict[str, Any]
    if source == "debian":
        fixed = [version for part in advisory.ranges for kind, version in part.events if kind == "fixed"]
        value = {"FixedVersion": fixed[-1]} if fixed else {}
    else:
        value = {"VulnerableVersions": [*list_constraints(advisory)], "PatchedVersions": []}
    yield {"path": [bucket, advisory.name], "key": name, "value": value}
    severity = advisory.ratings[0].severity if advisory.ratings else Severity.UNTRIAGED
    level = severity if severity in ("CRITICAL", "HIGH", "MEDIUM", "LOW") else "UNKNOWN"
    yield {"path": ["vulnerability"], "key": name, "value": {"Title": (advisory.summary or "")[:80], "Severity": level}}


def list_constraints(advisory: Advisory) -> Iterator[str]:
    for part in advisory.ranges:
        begin = ""
        for kind, version in (*part.events, ("", "")):
            if kind == "introduced":
                begin = f">={version}"
            elif begin:
                end = {"fixed": f", <{version}", "last_affected": f", <={version}", "limit": f", <{version}"}.get(
                    kind, ""
                )
                yield begin + end
                begin = ""
    yield from (f"={version}" for version in advisory.versions)


def write_bill(file: Path, inventory: Inventory) -> Path:
    """The image's packages as CycloneDX, with the distribution in the package URLs."""
    packages = tuple(
        replace(package, purl=f"{package.purl}?distro=debian-13") if package.ecosystem == "Debian:13" else package
        for package in inventory.packages
    )
    report = InventoryReport(
        inventory.image_digest, inventory.image_digest, (replace(inventory, packages=packages),), _fleets.NOW
    )
    with file.open("w") as stream:
        cyclonedx.REPORT.write_inventory(report, stream)
    return file


def convert(bill: Path) -> Path:
    """The bill after Syft has read and written it."""
    target = bill.with_suffix(".syft.json")
    command = [str(_peers.get_folder() / "syft"), "convert", "-q", str(bill), "-o", f"cyclonedx-json={target}"]
    subprocess.run(command, env={**os.environ, **_peers.SYFT_ENVIRONMENT}, check=True)
    return target


def run(command: list[str], environment: dict[str, str], count: Callable[[Any], int]) -> tuple[float, int]:
    """Seconds of a whole process, and the findings in its JSON."""
    begin = time.perf_counter()
    output = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE).stdout
    return time.perf_counter() - begin, count(json.loads(output))


def count_ours(report: Any) -> int:
    return sum(len(part["findings"]) for part in report["platforms"])


def count_trivys(report: Any) -> int:
    return sum(len(result.get("Vulnerabilities") or ()) for result in report.get("Results") or ())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    main(options.images, options.runs)
