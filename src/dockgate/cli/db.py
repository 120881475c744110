"""`dockgate db`: the advisory database."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dockgate.cli import times
from dockgate.cli.listing import Cell, as_json, form, now, pairs, shown_digest, table
from dockgate.cli.options import database, database_path, progress
from dockgate.cli.output import echo
from dockgate.config import from_environment
from dockgate.services import advisories
from dockgate.services.reports import clean
from dockgate.shared.canonical import plain
from dockgate.shared.errors import DatabaseError, UnavailableError

if TYPE_CHECKING:
    from dockgate.services.advisories import Status, Transfer
    from dockgate.vulnerabilities.database.parts import Failure, Part, Result

F = TypeVar("F", bound=Callable[..., Any])

FAULTS_SHOWN = 5


@click.group()
def command() -> None:
    """The advisory database, by which images are judged."""


@command.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of feeds: osv/ECOSYSTEM/all.zip, and beside osv/ what there is of amazon/RELEASE/updateinfo.xml.gz, "
    "kev.json, epss.csv.gz and cvss.csv.gz.",
)
@database
@form
def build(folder: Path, database: Path | None, form: str) -> None:
    """Build the database from a folder of feeds.

    It takes the place of the one there is. The feeds count as checked now.
    """
    path = database_path(database)
    with progress() as report:
        result = advisories.build(path, folder, report)
    _tell(result, path, form)


@command.command()
@database
@form
def update(database: Path | None, form: str) -> None:
    """Fetch what has changed of each feed.

    Feeds that fail stay as they were, and the command then exits with 2.
    """
    path = database_path(database)
    with progress() as report:
        result = advisories.update(from_environment(), path, report)
    _tell(result, path, form)
    if result.failures:
        first, *others = result.failures
        if not others:
            raise UnavailableError(first.reason, first.advice)
        has_cause = all(failure.cause for failure in result.failures)
        raise UnavailableError(
            f"{len(result.failures)} feeds failed, see above", _advice(result.failures) if has_cause else first.advice
        )
    if not result.digest:
        raise DatabaseError("No feed covers an ecosystem: there is no database.", "Set DOCKGATE_FEED_OSV.")


@command.command()
@database
@form
def status(database: Path | None, form: str) -> None:
    """The database's age, its feeds, and what it speaks for."""
    found = advisories.status(database_path(database))
    if form == "json":
        as_json(plain(found) | {"path": str(found.path)})
    else:
        _describe(found)


def _registry(function: F) -> F:
    for option in (
        click.option(
            "--ca-bundle",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="PEM file of the authorities to trust for the registry.  [default: DOCKGATE_CA_BUNDLE]",
        ),
        click.option("--insecure", is_flag=True, help="Let a registry on another machine speak plain HTTP."),
        database,
        form,
    ):
        function = option(function)
    return function


@command.command("export")
@click.argument("target", metavar="FILE|oci:REFERENCE")
@_registry
def export(target: str, database: Path | None, form: str, ca_bundle: Path | None, insecure: bool) -> None:
    """Write the database to one signed file, or into a registry as an OCI artifact.

    The times at which its feeds were checked go with it. It is signed by the key of the data folder, which signs
    attestations too: `dockgate db key` prints its public half.
    """
    path = database_path(database)
    with progress() as report:
        done = advisories.export(from_environment(), path, target, report, ca_bundle=ca_bundle, insecure=insecure)
    _moved("exported to", done, form)


@command.command("import")
@click.argument("source", metavar="FILE|REFERENCE")
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The public key that must have signed it: what `dockgate db key` prints where it is exported.",
)
@click.option(
    "--digest", default="", metavar="sha256:...", help="The digest that it must have: what the export printed."
)
@click.option("--allow-older", is_flag=True, help="Take it though the present database is newer.")
@_registry
def bring(
    source: str,
    key: Path | None,
    digest: str,
    allow_older: bool,
    database: Path | None,
    form: str,
    ca_bundle: Path | None,
    insecure: bool,
) -> None:
    """Take a database that was exported, from a file or a registry.

    Who must have signed it, or which digest it must have, has to be said: by --key, --digest, or a REFERENCE with its
    manifest's digest. It takes the place of the one there is, and is as old as its exporter's checks of the feeds.
    """
    path = database_path(database)
    with progress() as report:
        done = advisories.bring(
            from_environment(),
            path,
            source,
            report,
            key=key,
            digest=digest,
            allow_older=allow_older,
            ca_bundle=ca_bundle,
            insecure=insecure,
        )
    _moved("imported from", done, form)


@command.command()
def key() -> None:
    """Print the public key, in PEM, by which `dockgate db import --key` knows this machine's exports."""
    from dockgate.services import advisory_trust

    echo(advisory_trust.public_key(from_environment()), nl=False)


def _moved(how: str, done: "Transfer", form: str) -> None:
    if form == "json":
        as_json(plain(done))
        return
    manifest = f"@{done.manifest}" if done.manifest else ""
    echo(f"{done.digest} {how} {clean(done.place)}{manifest}")
    if done.key:
        echo(f"  signed by the key {done.key}; to import it by its digest: --digest {done.content}")


def _describe(found: "Status") -> None:
    moment = now()
    pairs(str(found.path), [("digest", found.digest)])
    echo()
    table(
        ("FEED", "CHECKED", "CHANGED", "STATEMENTS", "UNREADABLE", "FROM"),
        [
            (
                part.title,
                times.short(part.checked_at, moment),
                times.short(part.changed_at, moment),
                f"{part.statements:,}",
                (str(len(part.faults)), "yellow") if part.faults else "-",
                part.source,
            )
            for part in found.parts
        ],
        "It is made of no feed.",
    )
    echo()
    rows: list[tuple[Cell, ...]] = [
        (entry.ecosystem, "all packages" if entry.complete else (f"{len(entry.names)} packages only", "yellow"),
         times.at(entry.checked_at, moment))
        for entry in found.coverage
    ]  # fmt: skip
    table(("SPEAKS FOR", "HOLDS", "CHECKED"), rows, "It speaks for no ecosystem.")


def _tell(result: "Result", path: Path, form: str) -> None:
    if form == "json":
        as_json(plain(result))
        return
    failed = {(failure.feed, failure.name) for failure in result.failures}
    for part in result.parts:
        if (part.feed, part.name) in failed:
            continue
        said = (
            "unchanged"
            if part.title in result.unchanged
            else f"{part.statements:,} statement{'' if part.statements == 1 else 's'}"
        )
        echo(f"{part.title}: {said}{_faults(part)}")
    for line in _failures(result.failures):
        echo(line)
    for sentence in result.missing:
        echo(clean(sentence))
    if result.digest:
        echo(f"Advisory database {shown_digest(result.digest)} is in place:")
        echo(f"  {path}")


def _failures(failures: "Sequence[Failure]") -> Iterator[str]:
    """A line for each failure, but downloads that failed alike together: a network that is down is said once."""
    groups: dict[tuple[object, ...], list[Failure]] = {}
    for failure in failures:
        alone = () if failure.cause else (failure.feed, failure.name)
        groups.setdefault((failure.cause, failure.kept, *alone), []).append(failure)
    for (cause, kept, *_), group in groups.items():
        state = "the cached copy is kept" if kept else "no cached copy"
        names = [f"{entry.feed} {entry.name}".rstrip() for entry in group]
        if len(group) == 1:
            yield f"{names[0]}: failed, {state}: {clean(group[0].reason)}"
            continue
        hosts = ", ".join(dict.fromkeys(clean(entry.host) for entry in group))
        yield f"{len(group)} feeds failed, {state}: {clean(str(cause))} ({hosts})"
        yield from textwrap.wrap(
            ", ".join(names), 78, initial_indent="  ", subsequent_indent="  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


def _advice(failures: "Sequence[Failure]") -> str:
    variables = " ".join(dict.fromkeys(f"DOCKGATE_FEED_{failure.feed.upper()}" for failure in failures))
    return f"Check the network and {variables}, then run `dockgate db update` again."


def _faults(part: "Part") -> str:
    """The first few that could not be read; `db status -o json` has them all."""
    lines = [f"\n  {clean(fault.name)}: {clean(fault.reason)}" for fault in part.faults[:FAULTS_SHOWN]]
    more = len(part.faults) - len(lines)
    return (
        (f", {len(part.faults)} unreadable" if lines else "")
        + "".join(lines)
        + (f"\n  and {more} more" if more else "")
    )
