"""Access to our own registry: what clients ask for, and what a token grants. Pure.

Scopes: CNCF Distribution, "Token Scope Documentation": `repository:NAME:pull,push`, separated by spaces.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dockgate.delivery.model import REPOSITORY, ActionType, Pipeline
from dockgate.gate.patterns import is_match
from dockgate.identity.model import Caller, Permission

# The audience of every token that the registry accepts.
SERVICE = "dockgate-registry"
# The subject of the server's own tokens; no principal can have this name, because of the slash.
SERVER = "dockgate/server"
# The subject of logins made by a person who can read the server's data folder.
OPERATOR = "dockgate/operator"
PULL, PUSH = "pull", "push"
# How long a registry token is valid, and how much longer docker-registry accepts it.
TOKEN_SECONDS, LEEWAY_SECONDS = 300, 60
# How long a token may be valid after it was permitted: clocks of servers differ, and it may be issued a moment later.
PERMIT_SECONDS = TOKEN_SECONDS + LEEWAY_SECONDS + 60
# Scopes in one request; `docker push` asks for one, and one more for each repository that it mounts layers from.
SCOPE_LIMIT = 32
_REPOSITORY_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Access:
    """Actions on one resource, as the `access` claim of a registry token names it."""

    type: str
    name: str
    actions: tuple[str, ...]


# The list of all repositories, for the server alone.
CATALOG = Access("registry", "catalog", ("*",))


@dataclass(frozen=True, slots=True)
class Login:
    """A short-lived login of a program that the server or an operator started.

    `repository` is the only one that it may use, None for any. `actions` are its rights there.
    """

    subject: str
    repository: str | None
    actions: tuple[str, ...]

    def can(self, repository: str, action: str) -> bool:
        """Return whether it has the right `action` ("pull", "push") on the repository."""
        return action in self.actions and self.repository in (None, repository)


def parse_scopes(texts: Iterable[str]) -> tuple[Access, ...]:
    """The repositories and actions that a client requests; anything else is left out.

    Wildcards, the catalog and other types of resources are never for clients.
    """
    scopes = [scope for text in texts for scope in text.split(" ") if scope]
    actions_by_name: dict[str, tuple[str, ...]] = {}
    for scope in scopes[:SCOPE_LIMIT]:
        kind, _, resource = scope.partition(":")
        name, _, actions = resource.rpartition(":")
        valid = len(name) <= _REPOSITORY_LIMIT and re.fullmatch(REPOSITORY, name)
        if kind == "repository" and valid:
            known_actions = [action for action in actions.split(",") if action in (PULL, PUSH)]
            actions_by_name[name] = tuple(dict.fromkeys((*actions_by_name.get(name, ()), *known_actions)))
    return tuple(Access("repository", name, actions) for name, actions in actions_by_name.items() if actions)


@dataclass(frozen=True, slots=True)
class PushRules:
    """The repositories that principals may push to: by `patterns`, except those that a pipeline builds.

    Only the server pushes to a repository that a pipeline builds: each image there comes from a recorded commit, and
    the repository's waivers were accepted for such images.
    """

    patterns: tuple[str, ...]
    is_built: Callable[[str], bool]

    def is_open(self, repository: str) -> bool:
        """Return whether principals may push to the repository, if their roles allow it."""
        return any(is_match(repository, pattern) for pattern in self.patterns) and not self.is_built(repository)


def list_built_repositories(pipelines: Iterable[Pipeline]) -> frozenset[str]:
    """Return the image repositories that these pipelines push their builds to."""
    actions = (action for pipeline in pipelines for stage in pipeline.stages for action in stage.actions)
    images = (action.configuration.get("image") for action in actions if action.type is ActionType.BUILD)
    return frozenset(str(image) for image in images if image)


def list_source_repositories(pipeline: Pipeline) -> frozenset[str]:
    """Return the git repositories from which a pipeline takes its sources."""
    actions = (action for stage in pipeline.stages for action in stage.actions)
    names = (action.configuration.get("repository") for action in actions if action.type is ActionType.SOURCE)
    return frozenset(str(name) for name in names if name)


def list_deployed_services(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the services that a pipeline deploys to, in the order of its actions."""
    actions = (action for stage in pipeline.stages for action in stage.actions)
    names = (action.configuration.get("service") for action in actions if action.type is ActionType.DEPLOY)
    return tuple(dict.fromkeys(str(name) for name in names if name))


def grant(caller: Caller | Login, requests: Iterable[Access], rules: PushRules) -> tuple[Access, ...]:
    """The part of the requested access that the caller gets: never deletion, never the catalog."""
    result = []
    for access in requests:
        actions = tuple(action for action in access.actions if _can_access(caller, access.name, action, rules))
        if actions:
            result.append(Access(access.type, access.name, actions))
    return tuple(result)


def _can_access(caller: Caller | Login, repository: str, action: str, rules: PushRules) -> bool:
    if isinstance(caller, Login):
        return caller.can(repository, action)
    if action == PULL:
        return caller.can(Permission.READ, repository=repository)
    # Without a token the caller is any process of this machine, a build step among them.
    has_token = caller.token is not None
    return (
        action == PUSH and has_token and caller.can(Permission.RUN, repository=repository) and rules.is_open(repository)
    )
