"""`dockgate check`: what packages suffer, asked by their package URLs."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from dockgate.cli.options import database, database_path
from dockgate.cli.output import visible
from dockgate.shared.errors import UsageError

if TYPE_CHECKING:
    from io import BufferedReader

    from dockgate.services.check import Answer
    from dockgate.vulnerabilities.model import Finding

WRONG_USE = 2
UNDETERMINED = 3
# Bytes of standard input that are taken at once, some five thousand package URLs.
CHUNK = 1 << 18
_BY_SOURCE = ("pkg:deb/", "pkg:apk/")
# Answers whose text is kept, for lists often name a package many times.
REMEMBERED = 2000


@click.command()
@click.argument("purls", nargs=-1, metavar="[PURL]...")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table", help="Format.  [default: table]")
@database
@click.pass_context
def command(context: click.Context, purls: tuple[str, ...], output: str, database: Path | None) -> None:
    """Say what packages suffer, without an image.

    \b
    PURL is a package URL: pkg:pypi/idna@3.6, pkg:npm/lodash@4.17.20, or, of a
    distribution, 'pkg:deb/debian/openssl@3.0.11-1?distro=debian-12'.
    Without arguments they are read from standard input, one a line.

    With -o json each package URL gives one line, an object.

    Exits 0 when all could be said, 3 when something could not, 2 when a PURL is none.
    """
    from dockgate.services import scan
    from dockgate.services.check import check

    code = 0
    written: dict[str, str] = {}
    with scan.advisories(database_path(database)) as advisories:
        for answer in check(_batches(purls), advisories):
            if answer.purl not in written:
                if len(written) == REMEMBERED:
                    written.clear()
                written[answer.purl] = json.dumps(_document(answer)) + "\n" if output == "json" else _text(answer)
            sys.stdout.write(visible(written[answer.purl]))
            if answer.error:
                code = WRONG_USE
            elif answer.undetermined and code == 0:
                code = UNDETERMINED
    context.exit(code)


def _batches(purls: tuple[str, ...]) -> Iterator[Sequence[str]]:
    """The arguments, or the lines of standard input as they come: who writes one and waits is answered."""
    if purls:
        yield purls
        return
    if sys.stdin.isatty():
        raise UsageError("No package URL is given.", "Name them as arguments, or on standard input, one a line.")
    begun, source = b"", cast("BufferedReader", sys.stdin.buffer)
    while chunk := source.read1(CHUNK):
        *lines, begun = (begun + chunk).split(b"\n")
        if batch := _texts(lines):
            yield batch
            sys.stdout.flush()
    yield _texts([begun])


def _texts(lines: Iterable[bytes]) -> list[str]:
    return [text for line in lines if (text := line.decode("utf-8", "replace").strip())]


def _text(answer: "Answer") -> str:
    """The package URL, then a line for each finding: severity, id, fixed version, what makes it urgent."""
    from dockgate.services.reports import clean

    lines = [f"! {answer.error}"] if answer.error else [f"? {reason}" for reason in answer.undetermined]
    lines += [
        f"{finding.severity:<13} {finding.id:<20} {f'fixed in {finding.fixed}' if finding.fixed else finding.state}"
        f"{', known exploited' if finding.exploited else ''}{', malicious' if finding.malicious else ''}"
        f"{', disputed' if finding.disputed else ''}"
        for finding in answer.findings
    ]
    lines = lines or ["no findings" if answer.known else f"no findings: no advisory speaks of {_asked(answer)}"]
    return "".join(clean(line) + "\n" for line in [answer.purl, *(f"  {line}" for line in lines)])


def _asked(answer: "Answer") -> str:
    """By which name advisories were asked: those of some distributions speak of sources."""
    package = answer.package
    if package is None:
        return "it"
    by_source = package.purl.startswith(_BY_SOURCE)
    named = "" if not by_source or "upstream=" in answer.purl else "; name its source, if it is another, by &upstream="
    return f"{package.source_name} in {package.ecosystem}{named}"


def _document(answer: "Answer") -> dict[str, Any]:
    package = answer.package
    return {
        "purl": answer.purl,
        "ecosystem": package.ecosystem if package else None,
        "source": {"name": package.source_name, "version": package.source_version} if package else None,
        "known": answer.known if package else None,
        "findings": [_finding(finding) for finding in answer.findings],
        "undetermined": list(answer.undetermined),
        "error": answer.error or None,
    }


def _finding(finding: "Finding") -> dict[str, Any]:
    return {
        "id": finding.id,
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "score": finding.rating.score if finding.rating.score >= 0 else None,
        "rated_by": finding.rating.source or None,
        "fixed": finding.fixed or None,
        "state": finding.state.value,
        "known_exploited_since": finding.exploited or None,
        "epss": finding.epss if finding.epss >= 0 else None,
        "disputed": finding.disputed,
        "malicious": finding.malicious,
        "summary": finding.summary,
    }
