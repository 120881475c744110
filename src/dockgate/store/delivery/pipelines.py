"""Pipelines, and the repositories that we host."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from dockgate.delivery.model import Pipeline
from dockgate.delivery.registry_access import list_built_repositories
from dockgate.shared.canonical import encode
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ChangedError
from dockgate.store.engine import Database
from dockgate.store.fleet.due_images import mark_repository_due
from dockgate.store.queries import find_pipeline, is_one_of, make_text_list, require_pipeline
from dockgate.store.schema.delivery import built_repositories, pipelines, repositories
from dockgate.store.statements import insert_if_new, lock_name

_NAMES = select(pipelines.c.name).distinct()
_IS_VERSION = pipelines.c.name == bindparam("of_name"), pipelines.c.version == bindparam("of_version")
_TEXT = select(pipelines.c.text).where(*_IS_VERSION)
_UPDATE_TEXT = update(pipelines).where(*_IS_VERSION)
_VERSIONS = select(pipelines.c.name, pipelines.c.version, pipelines.c.body).where(is_one_of(pipelines.c.name, "names"))
_NEWEST_VERSIONS = select(pipelines.c.name, func.max(pipelines.c.version)).group_by(pipelines.c.name)
_NEWEST_PIPELINES = (
    select(pipelines.c.body)
    .where(tuple_(pipelines.c.name, pipelines.c.version).in_(_NEWEST_VERSIONS))
    .order_by(pipelines.c.name)
)
_BUILT_REPOSITORY = select(built_repositories.c.name).where(built_repositories.c.name == bindparam("repository"))
_BUILT_REPOSITORIES = select(built_repositories.c.name).where(is_one_of(built_repositories.c.name, "repositories"))
_REPOSITORIES = select(repositories.c.name)


class PipelineVersion(NamedTuple):
    """A version of a pipeline, when and by whom it was stored, and how it was written.

    The text is None where only the content is known, the principal where it is not known.
    """

    pipeline: Pipeline
    created_at: str
    text: str | None
    created_by: str | None

    @property
    def state(self) -> "PipelineState":
        """The state that a change of this version is meant for."""
        return PipelineState.from_text(self.pipeline.version, self.text)


class PipelineState(NamedTuple):
    """The state of a pipeline that a person changes: its version, 0 before the first one, and its text.

    `text_digest` is the digest of how it is written, None where any text is meant.
    """

    version: int
    text_digest: str | None = None

    @classmethod
    def from_text(cls, version: int, text: str | None) -> "PipelineState":
        """Return the state of a version that is written like this."""
        return cls(version, compute_digest((text or "").encode()))


class Pipelines:
    """Pipelines and their versions.

    Versions are never changed or deleted, except for how they are written: executions keep the one they started with.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # Every version, as of the last `list_all`.
        self._versions: Sequence[Pipeline] = ()

    def put(
        self,
        pipeline: Pipeline,
        now: str,
        text: str | None = None,
        by: str | None = None,
        expected_state: PipelineState | None = None,
    ) -> Pipeline:
        """Store a pipeline as the next version, saved by `by`. If it equals the present one, return that.

        `text` is how it is written: with another one than before, such as with other comments, it replaces that.
        Raises ChangedError when the pipeline is not in the `expected_state` any more.
        """
        with self._database.write() as connection:
            lock_name(connection, pipelines, pipeline.name)
            present_pipeline = find_pipeline(connection, pipeline.name)
            is_same = present_pipeline is not None and encode(
                replace(pipeline, version=present_pipeline.version)
            ) == encode(present_pipeline)
            present_text = _read_text(connection, present_pipeline) if present_pipeline else None
            if present_pipeline is not None and is_same and text in (None, present_text):
                return present_pipeline
            if expected_state is not None:
                present_version = present_pipeline.version if present_pipeline else 0
                _require_state(pipeline.name, PipelineState.from_text(present_version, present_text), expected_state)
            if present_pipeline is not None and is_same:
                connection.execute(_UPDATE_TEXT, {**_make_version_values(present_pipeline), "text": text})
                return present_pipeline
            new_version = replace(pipeline, version=1 if present_pipeline is None else present_pipeline.version + 1)
            for repository in sorted(list_built_repositories([new_version])):
                if insert_if_new(connection, built_repositories, {"name": repository}):
                    mark_repository_due(connection, repository)  # its waivers count for fewer images now
            values = {
                "name": new_version.name,
                "version": new_version.version,
                "body": new_version,
                "created_at": now,
                "text": text,
                "created_by": by,
            }
            connection.execute(insert(pipelines), values)
            return new_version

    def get(self, name: str, version: int | None = None) -> Pipeline:
        """The newest version, or the given one."""
        with self._database.read() as connection:
            return require_pipeline(connection, name, version)

    def list_versions(self, name: str) -> Sequence[PipelineVersion]:
        """All versions of a pipeline, the newest first."""
        table = pipelines.c
        query = select(*table["body", "created_at", "text", "created_by"]).where(table.name == name)
        with self._database.read() as connection:
            return [PipelineVersion(*row) for row in connection.execute(query.order_by(table.version.desc()))]

    def find_versions(self, versions: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], Pipeline]:
        """Several versions of pipelines, by name and version. Unknown ones are left out."""
        names = make_text_list(sorted({name for name, _ in versions}))
        with self._database.read() as connection:
            rows = connection.execute(_VERSIONS, {"names": names})
            return {(name, version): body for name, version, body in rows if (name, version) in versions}

    def list_names(self) -> Sequence[str]:
        """The names of all pipelines, sorted."""
        with self._database.read() as connection:
            return sorted(connection.scalars(_NAMES))

    def list_all(self, count: int | None = None) -> Sequence[Pipeline]:
        """Every version of every pipeline, sorted by name and version. Read again when there is a new one.

        `count` is how many there are if that was read just now, None to ask.
        """
        with self._database.read() as connection:
            if count is None:
                count = connection.scalar(select(func.count()).select_from(pipelines))
            if count == len(self._versions):
                return self._versions
            query = select(pipelines.c.body).order_by(pipelines.c.name, pipelines.c.version)
            self._versions = versions = list(connection.scalars(query))
        return versions

    def list_newest(self) -> Sequence[Pipeline]:
        """The newest version of each pipeline, sorted by name."""
        with self._database.read() as connection:
            return list(connection.scalars(_NEWEST_PIPELINES))

    def list_newest_versions(self) -> Mapping[str, int]:
        """The newest version of each pipeline, by name."""
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(_NEWEST_VERSIONS)}

    def is_built(self, repository: str) -> bool:
        """Return whether any version of any pipeline pushes its builds to this image repository."""
        with self._database.read() as connection:
            return connection.scalar(_BUILT_REPOSITORY, {"repository": repository}) is not None

    def find_built(self, image_repositories: Collection[str]) -> set[str]:
        """Return those of the image repositories to which a pipeline pushes its builds (`is_built`)."""
        names = make_text_list(sorted(image_repositories))
        with self._database.read() as connection:
            return set(connection.scalars(_BUILT_REPOSITORIES, {"repositories": names}))


class Repositories:
    """The source repositories that we host."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # All, as of the last `list_names`.
        self._names: Sequence[str] = ()

    def put(self, name: str, now: str) -> None:
        """Add a repository. Does nothing if it exists."""
        with self._database.write() as connection:
            insert_if_new(connection, repositories, {"name": name, "created_at": now})

    def list_names(self, count: int | None = None) -> Sequence[str]:
        """The names of all repositories, sorted.

        `count` is how many there are if that was read just now: then they are read again only if there is a new one.
        """
        if count is not None and count == len(self._names):
            return self._names
        with self._database.read() as connection:
            self._names = names = sorted(connection.scalars(_REPOSITORIES))
        return names


def _make_version_values(pipeline: Pipeline) -> Mapping[str, str | int]:
    return {"of_name": pipeline.name, "of_version": pipeline.version}


def _read_text(connection: Connection, pipeline: Pipeline) -> str | None:
    """Return how the version is written."""
    text: str | None = connection.scalar(_TEXT, _make_version_values(pipeline))
    return text


def _require_state(name: str, present_state: PipelineState, expected_state: PipelineState) -> None:
    """Raise ChangedError unless the present state is the expected one."""
    advice = "Compare it with your text, and save again."
    if present_state.version != expected_state.version:
        opened_version = expected_state.version or "none"
        raise ChangedError(
            f"version {present_state.version} of {name} was saved since you opened version {opened_version}", advice
        )
    if expected_state.text_digest not in (None, present_state.text_digest):
        raise ChangedError(f"the comments of {name} were changed since you opened it", advice)
