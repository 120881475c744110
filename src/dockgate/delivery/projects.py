"""The parts of the server that roles for some repositories cover. Pure."""

from collections.abc import Collection, Sequence

from dockgate.delivery.model import Pipeline
from dockgate.delivery.registry_access import list_built_repositories, list_source_repositories
from dockgate.identity.model import Project


def make_project(
    patterns: tuple[str, ...], pipelines: Sequence[Pipeline], git_repositories: Collection[str]
) -> Project:
    """The project of the repositories that match the patterns.

    Its pipelines are those whose sources are all in it. An image repository that they alone build is a part of it as
    well, unless a git repository has the same name.
    """
    by_pattern = Project(patterns)
    own_pipelines: list[Pipeline] = []
    foreign_pipelines: list[Pipeline] = []
    for pipeline in pipelines:
        sources = list_source_repositories(pipeline)
        is_own = bool(sources) and all(map(by_pattern.has_repository, sources))
        (own_pipelines if is_own else foreign_pipelines).append(pipeline)
    names_in_git = set(git_repositories).union(*map(list_source_repositories, pipelines))
    return Project(
        patterns,
        frozenset(pipeline.name for pipeline in own_pipelines),
        list_built_repositories(own_pipelines) - list_built_repositories(foreign_pipelines) - names_in_git,
    )
