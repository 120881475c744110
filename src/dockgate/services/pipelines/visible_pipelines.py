"""The pipelines and git repositories that callers with limits may see, for conditions of queries."""

from collections.abc import Sequence

from dockgate.identity.model import Caller
from dockgate.store import Store


def list_visible_pipelines(store: Store, caller: Caller) -> Sequence[str] | None:
    """The names of the pipelines that the caller may see, None if it has no limits."""
    if not caller.is_limited:
        return None
    count = caller.counts.pipeline_versions if caller.counts else None
    names = sorted({pipeline.name for pipeline in store.pipelines.list_all(count)})
    return [name for name in names if caller.can_reach(pipeline=name)]


def list_visible_git_repositories(store: Store, caller: Caller) -> Sequence[str] | None:
    """The names of the git repositories that the caller may see, None if it has no limits."""
    if not caller.is_limited:
        return None
    count = caller.counts.repositories if caller.counts else None
    return [name for name in store.repositories.list_names(count) if caller.can_reach(repository=name)]
