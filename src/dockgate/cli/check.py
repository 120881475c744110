"""`dockgate check`: look up vulnerabilities for package URLs."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.listing_output import make_format_option
from dockgate.cli.options import choose_database_path, database_option
from dockgate.cli.output import escape_controls
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import is_of_type

if TYPE_CHECKING:
    from io import BufferedReader

    from dockgate.services.packages import PackageResult
    from dockgate.vulnerabilities.model import Finding

# Bytes read from standard input at a time: about five thousand package URLs.
CHUNK = 1 << 18
_SOURCE_PACKAGE_TYPES = ("deb", "apk")
# Cached answers: lists often name a package many times.
MAX_CACHED_ANSWERS = 2000


@click.command()
@click.argument("purls", nargs=-1, metavar="[PURL]...")
@make_format_option("table", "A table for people, or a line of JSON for each package URL.")
@database_option
@click.pass_context
def command(context: click.Context, purls: tuple[str, ...], output_format: str, database: Path | None) -> None:
    """Look up vulnerabilities for package URLs.

    \b
    PURL is a package URL: pkg:pypi/idna@3.6, pkg:npm/lodash@4.17.20, or, of a
    distribution, 'pkg:deb/debian/openssl@3.0.11-1?distro=debian-12'.
    Without arguments the command reads them from standard input, one per line.

    With -o json the output has one line, an object, per package URL.

    Exits 0 when every package could be checked, 3 when one is undetermined, 2 when a PURL is malformed.
    """
    from dockgate.services.packages import check_packages
    from dockgate.vulnerabilities.database.database import Database

    code = 0
    written_answers: dict[str, str] = {}
    with Database.open(choose_database_path(database)) as advisories:
        for answer in check_packages(_iterate_batches(purls), advisories):
            if answer.purl not in written_answers:
                if len(written_answers) == MAX_CACHED_ANSWERS:
                    written_answers.clear()
                is_json = output_format == "json"
                written_answers[answer.purl] = (
                    json.dumps(_encode_answer(answer)) + "\n" if is_json else _format_answer(answer)
                )
            sys.stdout.write(escape_controls(written_answers[answer.purl]))
            if answer.error:
                code = ExitCode.FAILED
            elif answer.undetermined and code == 0:
                code = ExitCode.UNDETERMINED
    context.exit(code)


def _iterate_batches(purls: tuple[str, ...]) -> Iterator[Sequence[str]]:
    """The arguments, or the lines of standard input as they arrive, so that each gets its answer at once."""
    if purls:
        yield purls
        return
    if sys.stdin.isatty():
        raise UsageError("no package URL is given", "Pass them as arguments, or on standard input, one per line.")
    partial_line, source = b"", cast("BufferedReader", sys.stdin.buffer)
    while chunk := source.read1(CHUNK):
        *lines, partial_line = (partial_line + chunk).split(b"\n")
        if batch := _decode_lines(lines):
            yield batch
            sys.stdout.flush()
    yield _decode_lines([partial_line])


def _decode_lines(lines: Iterable[bytes]) -> list[str]:
    return [text for line in lines if (text := line.decode("utf-8", "replace").strip())]


def _format_answer(answer: "PackageResult") -> str:
    """The package URL, then a line per finding: severity, id, fixed version, urgency."""
    from dockgate.shared.escaping import clean_text

    lines = [f"! {answer.error}"] if answer.error else [f"? {reason}" for reason in answer.undetermined]
    lines += [
        f"{finding.severity:<13} {finding.id:<20} {f'fixed in {finding.fixed}' if finding.fixed else finding.state}"
        f"{', known exploited' if finding.exploited else ''}{', malicious' if finding.is_malicious else ''}"
        f"{', disputed' if finding.is_disputed else ''}"
        for finding in answer.findings
    ]
    if not lines:
        lines = [
            "no findings" if answer.advisory_count else f"no findings: no advisory names {_describe_lookup(answer)}"
        ]
    return "".join(clean_text(line) + "\n" for line in [answer.purl, *(f"  {line}" for line in lines)])


def _describe_lookup(answer: "PackageResult") -> str:
    """The name that was looked up. Advisories of some distributions name source packages."""
    package = answer.package
    if package is None:
        return "it"
    hint = ""
    if is_of_type(package.purl, *_SOURCE_PACKAGE_TYPES) and "upstream=" not in answer.purl:
        hint = "; if the source package has another name, add &upstream=NAME"
    return f"{package.source_name} in {package.ecosystem}{hint}"


def _encode_answer(answer: "PackageResult") -> dict[str, Any]:
    package = answer.package
    return {
        "purl": answer.purl,
        "ecosystem": package.ecosystem if package else None,
        "source": {"name": package.source_name, "version": package.source_version} if package else None,
        "known": answer.advisory_count if package else None,
        "findings": [_encode_finding(finding) for finding in answer.findings],
        "undetermined": list(answer.undetermined),
        "error": answer.error,
    }


def _encode_finding(finding: "Finding") -> dict[str, Any]:
    return {
        "id": finding.id,
        "aliases": list(finding.aliases),
        "severity": finding.severity.value,
        "score": finding.rating.score,
        "rated_by": finding.rating.source,
        "fixed": finding.fixed,
        "state": finding.state.value,
        "known_exploited_since": finding.exploited,
        "epss": finding.epss,
        "is_disputed": finding.is_disputed,
        "is_malicious": finding.is_malicious,
        "summary": finding.summary,
    }
