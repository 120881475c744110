"""Search for anything by its name or digest."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from dockgate.delivery.model import ExecutionId
from dockgate.identity.model import Caller
from dockgate.scanner.sboms.purls import parse_purl
from dockgate.services.exposure.question_names import is_vulnerability_name
from dockgate.services.images.name_search import find_named_images, strip_own_registry
from dockgate.services.images.waiver_visibility import select_visible_waivers
from dockgate.services.pipelines.visible_pipelines import list_visible_git_repositories, list_visible_pipelines
from dockgate.services.pipelines.visible_services import list_visible_service_names
from dockgate.services.web_services import Addresses, FleetServices, PolicyServices
from dockgate.shared.digest import read_digest_start
from dockgate.shared.errors import NotFoundError
from dockgate.shared.purl import is_purl
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.delivery.source_commits import CommitSearch
from dockgate.web.api import (
    AddressesDependency,
    FleetDependency,
    PolicyDependency,
    ReadCaller,
    StoreDependency,
    make_router,
    mark_self_checking,
)
from dockgate.web.api.images import list_visible_digests
from dockgate.web.page_paths import (
    make_commit_path,
    make_image_path,
    make_package_path,
    make_repository_path,
    make_tag_path,
    make_vulnerability_path,
)

# Matches of each kind, so that many of one hide none of another.
MAX_NAMES = 10
LONGEST_SEARCH = 1000
_EXECUTION = re.compile("[^ ]+-[0-9]+")
_COMMIT_START = re.compile("[0-9a-f]{7,40}")

router = make_router()


@dataclass(frozen=True, slots=True)
class Match:
    """Something that matches. `kind` is "image", "vulnerability", … ; `page` is its path in the console.

    `title` is the first line of the message of a commit that an execution fetched, null for others.
    """

    name: str
    kind: str
    page: str
    title: str | None = None


@router.get("/search")
@mark_self_checking
def search_objects(
    caller: ReadCaller,
    addresses: AddressesDependency,
    store: StoreDependency,
    policies: PolicyDependency,
    fleet: FleetDependency,
    q: Annotated[str, Query(min_length=1, max_length=LONGEST_SEARCH)],
) -> list[Match]:
    """Find vulnerabilities, packages, images, executions and others by name.

    The beginning or a part of a name is enough. An image is also found by REPOSITORY:TAG and REPOSITORY@DIGEST. Commits
    are found by seven digits of their id, those of executions also by words of their message.
    """
    return find_matches(caller, addresses, store, policies, fleet, q.strip())


def find_matches(
    caller: Caller, addresses: Addresses, store: Store, policies: PolicyServices, fleet: FleetServices, words: str
) -> list[Match]:
    """Find what matches and the caller may see, at most MAX_NAMES of a kind.

    Nothing for an empty text.
    """
    if not words:
        return []
    words = strip_own_registry(words, addresses.registry_names)
    lower_words = words.lower()
    matches = [
        (str(image), "image", make_image_path(image.digest, image.repository))
        if isinstance(image, ImageReference)
        else (str(image), "tag", make_tag_path(image.repository, image.tag))
        for image in find_named_images(store, caller, words)
    ]
    if start := read_digest_start(words):
        for kind in ("image", "verdict"):
            digests = list_visible_digests(kind, start, caller, store)
            matches += [(digest, kind, f"/{kind}s/{digest}") for digest in digests]
    scope = fleet.exposure_search.make_present_scope(
        caller, store.services.list_running_images() if caller.is_limited else ()
    )
    vulnerabilities, packages = store.vulnerability_lists.list_names_starting_with(words, MAX_NAMES, scope=scope)
    if not vulnerabilities and is_vulnerability_name(words):
        vulnerabilities = [words]
    matches += [(name, "vulnerability", make_vulnerability_path(name)) for name in vulnerabilities]
    if is_purl(lower_words):
        purl = lower_words[:4] + words[4:]
        with suppress(ValueError):  # not complete yet: its page would say that it is wrong
            parse_purl(purl)
            matches.append((purl, "package", make_package_path("", purl)))
    matches += [(name, "package", make_package_path("", name)) for name in packages]
    pipelines = list_visible_pipelines(store, caller)
    pipeline_names = store.pipelines.list_names() if pipelines is None else pipelines
    execution_ids = _find_executions(caller, store, words, pipeline_names)
    matches += [(execution_id, "execution", f"/executions/{execution_id}") for execution_id in execution_ids]
    services = sorted(list_visible_service_names(caller, addresses.registry, store))
    named_waivers = [record for record in store.waivers.list() if lower_words in record.waiver.id.lower()]
    waivers = select_visible_waivers(store, named_waivers, caller)
    names_by_kind = (
        ("pipeline", pipeline_names, "/pipelines/"),
        ("service", services, "/running/"),
        ("policy", () if caller.is_limited else policies.policies.list_names(), "/policies/"),
        ("waiver", [record.waiver.id for record in waivers], "/waivers/"),
    )
    for kind, names, prefix in names_by_kind:
        matches += [(name, kind, prefix + name) for name in _choose_names(names, lower_words)]
    pushed_names = (name for name in store.images.list_pushed_repositories() if caller.can_reach(repository=name))
    repositories = _choose_names(pushed_names, lower_words)
    matches += [(name, "image repository", make_repository_path(name)) for name in repositories]
    return [*(Match(*match) for match in matches), *_find_commits(caller, store, words, pipelines)]


def _choose_names(names: Iterable[str], lower_words: str) -> Sequence[str]:
    """The first MAX_NAMES names that contain the words: the same name, then those that begin with them."""
    matches = [name for name in names if lower_words in name.lower()]
    matches.sort(key=lambda name: (name.lower() != lower_words, not name.lower().startswith(lower_words)))
    return matches[:MAX_NAMES]


def _find_executions(caller: Caller, store: Store, words: str, pipelines: Iterable[str]) -> list[ExecutionId]:
    """The executions that the words name, in capital letters or not; that of a removed pipeline as it is written."""
    if not _EXECUTION.fullmatch(words):
        return []
    pipeline, _, number = words.rpartition("-")
    names = [pipeline, *(name for name in pipelines if name.lower() == pipeline.lower() and name != pipeline)]
    execution_ids = []
    for name in names:
        with suppress(NotFoundError):
            execution = store.executions.get(ExecutionId(f"{name}-{number}"))
            if caller.can_reach(pipeline=execution.pipeline):
                execution_ids.append(execution.id)
    return execution_ids


def _find_commits(caller: Caller, store: Store, words: str, pipelines: Sequence[str] | None) -> list[Match]:
    """The commits that were pushed or fetched, and the executions of these, as far as the caller sees them."""
    digits = words.lower()
    is_id = _COMMIT_START.fullmatch(digits) is not None
    search = CommitSearch(digits if is_id else words, is_id)
    repositories = list_visible_git_repositories(store, caller)
    search_result = store.source_commits.find(search, MAX_NAMES + 1, repositories, pipelines)
    titles: dict[tuple[str, str], str | None] = {
        (row.repository, row.commit): row.subject for row in search_result.commits
    }
    for repository, commit in store.pushes.find_commits(digits, MAX_NAMES, repositories) if is_id else ():
        titles.setdefault((repository, commit), None)
    commits = [
        Match(commit, "commit", make_commit_path(name, commit), title) for (name, commit), title in titles.items()
    ]
    executions = [
        Match(row.execution, "execution", f"/executions/{row.execution}")
        for row in search_result.executions
        if row.execution.lower() != digits
    ]
    return [*commits[:MAX_NAMES], *executions[:MAX_NAMES]]
