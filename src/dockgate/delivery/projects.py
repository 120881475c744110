"""The parts of the server that roles for some repositories cover. Pure."""

from collections.abc import Collection, Sequence

from dockgate.delivery.model import Pipeline
from dockgate.delivery.registry_access import list_built_repositories, list_source_repositories
from dockgate.identity.model import RepositoryScope


def make_project(
    patterns: tuple[str, ...], pipelines: Sequence[Pipeline], git_repositories: Collection[str]
) -> RepositoryScope:
    """The project of the repositories that match the patterns.

    `pipelines` are all versions: executions and images of earlier ones are still there. The project has the pipelines
    whose sources are all in it, in every version. An image repository that they alone build is a part of it as well,
    unless a git repository has the same name.
    """
    by_pattern = RepositoryScope(patterns)

    def is_own(pipeline: Pipeline) -> bool:
        sources = list_source_repositories(pipeline)
        return bool(sources) and all(map(by_pattern.has_repository, sources))

    other_names = {pipeline.name for pipeline in pipelines if not is_own(pipeline)}
    own_pipelines = [pipeline for pipeline in pipelines if pipeline.name not in other_names]
    other_pipelines = [pipeline for pipeline in pipelines if pipeline.name in other_names]
    names_in_git = set(git_repositories).union(*map(list_source_repositories, pipelines))
    return RepositoryScope(
        patterns,
        frozenset(pipeline.name for pipeline in own_pipelines),
        list_built_repositories(own_pipelines) - list_built_repositories(other_pipelines) - names_in_git,
    )
