"""Build the database from a folder of feeds."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dockgate.shared.digest import hash_file
from dockgate.shared.errors import DatabaseError, DefinitionError, UnreadableError
from dockgate.shared.timestamps import format_seconds
from dockgate.vulnerabilities.database.coverage import FILE, is_covered_by, read_coverage
from dockgate.vulnerabilities.database.parts import Part, Result
from dockgate.vulnerabilities.database.writer import Writer, lock_database
from dockgate.vulnerabilities.feed import ONLY_PART, Feed, FeedStatement

Report = Callable[[str], None]


def build(path: Path, feeds: Sequence[Feed], folder: Path, now: datetime, report: Report) -> Result:
    """Build the database at `path` from the feeds in `folder`, and replace the old one atomically.

    The time of the build counts as the check of all parts. `report` gets a line for each part. The result names the
    feeds that the folder lacks.

    Raises DatabaseError if nothing covers an ecosystem, UnreadableError or UnavailableError naming an unreadable file,
    DefinitionError for an invalid `coverage.json`. The old database then stays in place.
    """
    partial_coverage = read_coverage(folder)
    parts_by_feed = {feed.name: _find_parts(folder, feed) for feed in feeds}
    if not any(parts_by_feed.values()):
        files = ", ".join(_describe_files(feed) for feed in feeds)
        raise DatabaseError(f"{folder} has no advisories", f"Name a folder with {files}.")
    ecosystems = (feed.get_ecosystem(name) for feed in feeds for name in parts_by_feed[feed.name])
    exports = {ecosystem for ecosystem in ecosystems if ecosystem is not None}
    for name in partial_coverage or ():
        if not any(is_covered_by(name, export) for export in exports):
            raise DefinitionError(
                f"{folder / FILE} lists {name}, but the folder does not contain its export",
                "Add the export, or remove the entry.",
            )
    time = format_seconds(now)
    parts: list[Part] = []
    with lock_database(path), Writer(path) as writer:
        for feed in feeds:
            for name in parts_by_feed[feed.name]:
                fetched_files = feed.fetch(folder, name, None, path.parent)
                assert fetched_files.path is not None  # noqa: S101 - without a fingerprint nothing is unchanged
                part = Part(
                    *(feed.name, name, feed.version, str(folder.absolute()), fetched_files.fingerprint),
                    *(hash_file(fetched_files.path), time, time, 0),
                )
                with fetched_files.path.open("rb") as stream:
                    statements = parse(feed, part, stream)
                    parts.append(writer.add(part, statements, feed.get_ecosystem(name), partial_coverage))
                report(f"{parts[-1].title}: {parts[-1].statements} statements")
        if not writer.has_coverage:
            raise DatabaseError(
                f"{folder} has no advisories for any ecosystem", "Name a folder with OSV exports in osv/."
            )
        digest = writer.commit()
    missing_feeds = [f"no {_describe_files(feed)} in {folder}" for feed in feeds if not parts_by_feed[feed.name]]
    return Result(digest, tuple(parts), tuple(missing_feeds))


def parse(feed: Feed, part: Part, stream: BinaryIO) -> Iterator[FeedStatement]:
    """Parse a fetched file. Raises UnreadableError, which names the origin of the file."""
    try:
        yield from feed.parse(stream, part.name)
    except UnreadableError as error:
        advice = "The database is unchanged. It is updated when the source publishes a correct file."
        raise UnreadableError(f"{error}; its source: {part.source}", advice) from error


def _find_parts(folder: Path, feed: Feed) -> tuple[str, ...]:
    """The names of the parts of a feed in a folder, sorted."""
    wildcard_index = Path(feed.file).parts.index("*") if "*" in feed.file else None
    paths = sorted(path.relative_to(folder) for path in folder.glob(feed.file) if path.is_file())
    return tuple(ONLY_PART if wildcard_index is None else path.parts[wildcard_index] for path in paths)


def _describe_files(feed: Feed) -> str:
    """The path of its files for people: "osv/ECOSYSTEM/all.zip", "amazon/RELEASE/updateinfo.xml.gz"."""
    ecosystem = feed.get_ecosystem("*")
    return feed.file.replace("*", "RELEASE" if ecosystem is not None and ":" in ecosystem else "ECOSYSTEM")
