"""`dockgate db`: manage the advisory database."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dockgate.cli import times
from dockgate.cli.client import Client
from dockgate.cli.feed_output import print_feeds
from dockgate.cli.listing_output import (
    Cell,
    display_digest,
    format_option,
    print_answer,
    print_fields,
    print_json,
    print_table,
)
from dockgate.cli.options import (
    FILE,
    ca_bundle_option,
    choose_database_path,
    database_option,
    insecure_option,
    show_progress,
)
from dockgate.cli.output import print_text
from dockgate.config import from_environment
from dockgate.services.feeds import advisories
from dockgate.shared.canonical import to_plain
from dockgate.shared.errors import DatabaseError, UnavailableError
from dockgate.shared.escaping import clean_text
from dockgate.shared.wording import format_count

if TYPE_CHECKING:
    from dockgate.services.feeds.advisories import Status, Transfer
    from dockgate.vulnerabilities.database.parts import Failure, Part, Result

F = TypeVar("F", bound=Callable[..., Any])

FAULTS_SHOWN = 5


@click.group()
def command() -> None:
    """Manage the advisory database."""


@command.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="A folder of feeds: osv/ECOSYSTEM/all.zip; optional amazon/RELEASE/updateinfo.xml.gz, kev.json, "
    "epss.csv.gz and cvss.csv.gz.",
)
@database_option
@format_option
def build(folder: Path, database: Path | None, output_format: str) -> None:
    """Build the database from a folder of feeds.

    It replaces the present database. The feeds count as checked now.
    """
    path = choose_database_path(database)
    with show_progress() as report:
        result = advisories.build(path, folder, report)
    _print_result(result, path, output_format)


@command.command()
@click.option("--allow-smaller", is_flag=True, help="Install feeds even if a fifth or more of their records are gone.")
@database_option
@format_option
def update(database: Path | None, output_format: str, *, allow_smaller: bool) -> None:
    """Download the changes of each feed.

    When a feed fails, its present data is kept, and the command exits with 2. The same applies if at least a fifth of
    its records are gone, or if new records cannot be read while the present data is less than a day old.
    """
    path = choose_database_path(database)
    with show_progress() as report:
        result = advisories.update(from_environment(), path, report, can_shrink=allow_smaller)
    _print_result(result, path, output_format)
    if result.failures:
        first, *further_failures = result.failures
        if not further_failures:
            raise UnavailableError(first.reason, first.advice)
        advices = list(
            dict.fromkeys(failure.advice for failure in result.failures if failure.advice and not failure.cause)
        )
        if unreachable_feeds := dict.fromkeys(failure.feed.upper() for failure in result.failures if failure.cause):
            variables = " ".join(f"DOCKGATE_FEED_{feed}" for feed in unreachable_feeds)
            advices.insert(0, f"Check the network and {variables}, then run `dockgate db update` again.")
        advice = " ".join(advices)
        raise UnavailableError(f"{len(result.failures)} feeds failed: see above", advice)
    if not result.digest:
        raise DatabaseError("no database was built: no feed covers an ecosystem", "Set DOCKGATE_FEED_OSV.")


@command.command()
@format_option
def refresh(output_format: str) -> None:
    """Have the server fetch its feeds now, not when they are due.

    Needs the role security or admin. `dockgate status` shows the result.
    """
    answer = Client().post("feeds", "update")
    print_answer(answer, output_format, f"The server fetches {', '.join(answer['feeds'])}.")


@command.command()
@database_option
@format_option
def status(database: Path | None, output_format: str) -> None:
    """Show the database's age, feeds and ecosystems.

    A feed shows its last success, its last failure, and when the server tries it next.
    """
    database_status = advisories.describe_database(choose_database_path(database), from_environment().feeds)
    if output_format == "json":
        print_json(to_plain(database_status) | {"path": str(database_status.path)})
    else:
        _print_status(database_status)


def _add_registry_options(function: F) -> F:
    return ca_bundle_option(insecure_option(database_option(format_option(function))))


@command.command("export")
@click.argument("target", metavar="FILE|oci:REFERENCE")
@_add_registry_options
def export(target: str, database: Path | None, output_format: str, insecure: bool, ca_bundle: Path | None) -> None:
    """Export the database to a file or a registry.

    A registry stores it as an OCI artifact. The export keeps the times at which the feeds were checked. It is signed
    with the key of the data folder, which also signs attestations: `dockgate db key` prints the public key.
    """
    from dockgate.scanner.images.artifact import push_artifact

    path, settings = choose_database_path(database), from_environment()
    push = partial(push_artifact, ca_bundle=ca_bundle or settings.ca_bundle, is_insecure=insecure)
    with show_progress() as report:
        transfer = advisories.export(settings, path, target, report, push)
    _print_transfer("exported to", transfer, output_format)


@command.command("import")
@click.argument("source", metavar="FILE|REFERENCE")
@click.option(
    "--key",
    type=FILE,
    help="Require a signature by this public key: the output of `dockgate db key` on the exporting machine.",
)
@click.option("--digest", metavar="sha256:...", help="Require this digest: the export prints it.")
@click.option("--allow-older", "can_be_older", is_flag=True, help="Import even if the present database is newer.")
@_add_registry_options
def bring(
    source: str, database: Path | None, output_format: str, insecure: bool, ca_bundle: Path | None, **trust: Any
) -> None:
    """Import an exported database from a file or a registry.

    State what to trust: --key, --digest, or a REFERENCE with the digest of its manifest. The import replaces the
    present database, and keeps the times at which the exporter checked the feeds.
    """
    from dockgate.scanner.images.artifact import pull_artifact

    path = choose_database_path(database)
    pull = partial(pull_artifact, ca_bundle=ca_bundle or from_environment().ca_bundle, is_insecure=insecure)
    with show_progress() as report:
        transfer = advisories.import_database(path, source, report, pull, **trust)
    _print_transfer("imported from", transfer, output_format)


@command.command()
def key() -> None:
    """Print the public key of this machine's exports.

    It is PEM, for `dockgate db import --key`.
    """
    print_text(advisories.read_public_key(from_environment()), has_newline=False)


def _print_transfer(action: str, transfer: "Transfer", output_format: str) -> None:
    if output_format == "json":
        print_json(to_plain(transfer))
        return
    manifest = f"@{transfer.manifest}" if transfer.manifest else ""
    print_text(f"{transfer.digest} {action} {clean_text(transfer.location)}{manifest}")
    if transfer.key:
        print_text(f"  signed by the key {transfer.key}; to import by digest: --digest {transfer.content}")


def _print_status(status: "Status") -> None:
    print_fields(str(status.path), [("digest", status.digest)])
    print_text()
    print_table(
        ("FEED", "CHECKED", "CHANGED", "STATEMENTS", "UNREADABLE", "SOURCE"),
        [
            (
                part.title,
                times.format_age(part.checked_at),
                times.format_age(part.changed_at),
                f"{part.statements:,}",
                (str(len(part.faults)), "yellow") if part.faults else "-",
                part.source,
            )
            for part in status.parts
        ],
        "The database has no feeds.",
    )
    print_text()
    print_feeds([to_plain(feed) for feed in status.feeds])
    for part in status.suspect:
        print_text(
            f"{clean_text(part.part)} is suspect: its newest record is of {part.newest}, unusually old for this feed."
        )
    print_text()
    rows: list[tuple[Cell, ...]] = [
        (entry.ecosystem, "all packages" if entry.is_complete else (f"{len(entry.names)} packages only", "yellow"),
         times.format_time(entry.checked_at))
        for entry in status.coverage
    ]  # fmt: skip
    print_table(("ECOSYSTEM", "COVERS", "CHECKED"), rows, "The database covers no ecosystem.")


def _print_result(result: "Result", path: Path, output_format: str) -> None:
    if output_format == "json":
        print_json(to_plain(result))
        return
    failed_parts = {(failure.feed, failure.name) for failure in result.failures}
    for part in result.parts:
        if (part.feed, part.name) in failed_parts:
            continue
        change = format_count(part.statements, "statement")
        change = "unchanged" if part.title in result.unchanged_parts else change
        print_text(f"{part.title}: {change}{_format_faults(part)}")
    for line in _format_failures(result.failures):
        print_text(line)
    for sentence in result.missing_feeds:
        print_text(clean_text(sentence))
    if result.digest:
        print_text(f"Advisory database {display_digest(result.digest)} is in place:")
        print_text(f"  {path}")


def _format_failures(failures: "Sequence[Failure]") -> Iterator[str]:
    """A line per failure; downloads that failed for the same cause, such as a dead network, share one."""
    groups: dict[tuple[object, ...], list[Failure]] = {}
    for failure in failures:
        own_key = () if failure.cause else (failure.feed, failure.name)
        groups.setdefault((failure.cause, failure.has_old_data, *own_key), []).append(failure)
    for (trigger_text, has_cached_copy, *_), group in groups.items():
        state = "using the cached copy" if has_cached_copy else "no cached copy"
        names = [f"{entry.feed} {entry.name}".rstrip() for entry in group]
        if len(group) == 1:
            yield f"{names[0]}: failed, {state}: {clean_text(group[0].reason)}"
            continue
        hosts = ", ".join(dict.fromkeys(clean_text(entry.host or "") for entry in group))
        yield f"{len(group)} feeds failed, {state}: {clean_text(str(trigger_text))} ({hosts})"
        yield from textwrap.wrap(
            ", ".join(names), 78, initial_indent="  ", subsequent_indent="  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip


def _format_faults(part: "Part") -> str:
    """The first unreadable entries; `dockgate db status -o json` has all."""
    lines = [f"\n  {clean_text(fault.name)}: {clean_text(fault.reason)}" for fault in part.faults[:FAULTS_SHOWN]]
    omitted_count = len(part.faults) - len(lines)
    count = f", {len(part.faults)} unreadable" if lines else ""
    return count + "".join(lines) + (f"\n  and {omitted_count} more" if omitted_count else "")
