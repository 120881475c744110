"""The columns by which lists of images are sorted."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Text, case, func, literal, select, type_coerce

from dockgate.gate.policy_choice import DEFAULT_POLICY
from dockgate.store.images.image_filter import ImageSort
from dockgate.store.queries import is_one_of_texts
from dockgate.store.schema.fleet import fleet_images, fleet_tags, fleet_verdicts
from dockgate.store.schema.gate import verdicts
from dockgate.vulnerabilities.model import Severity

_TAGS = fleet_tags.c
# CRITICAL to UNTRIAGED: the others decide nothing.
_SORTED_SEVERITIES = list(Severity)[:4]


def make_sort_key(sort: ImageSort, policies: Mapping[str, Collection[str]]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of an order. `policies` are as in `ImageFilter`."""
    if sort is ImageSort.PUSHED:
        return _TAGS.pushed_at, _TAGS.id
    if sort is ImageSort.NAME:
        return _TAGS.repository, type_coerce(_TAGS.tag, Text), _TAGS.id  # a position has the empty text, too
    policy = _select_policy(policies)  # one, for the names of all repositories are its parameters
    counts = (_count_findings(severity.value.lower(), policy) for severity in _SORTED_SEVERITIES)
    return *(func.coalesce(count, -1) for count in counts), _TAGS.id


def _count_findings(name: str, policy: ColumnElement[Any]) -> ColumnElement[Any]:
    """The findings of the location: of the fleet's verdict where the image was read, else of the newest verdict there.

    That is the newest by the repository's policy, or by any if that has not judged it there.
    """
    count = fleet_verdicts.c[name]
    is_of_location = verdicts.c.image == _TAGS.digest, verdicts.c.repository == _TAGS.repository
    newest_count = select(verdicts.c[name]).where(*is_of_location).order_by(verdicts.c.seq.desc()).limit(1)
    count_by_policy = newest_count.where(verdicts.c.policy == policy)
    repository_count = func.coalesce(count_by_policy.scalar_subquery(), newest_count.scalar_subquery(), count)
    return case((_TAGS.repository == fleet_images.c.repository, count), else_=repository_count)


def _select_policy(policies: Mapping[str, Collection[str]]) -> ColumnElement[Any]:
    """The policy of the location's repository. The names of most repositories are not sent: theirs is `else`."""
    most_common = max(sorted(policies), key=lambda policy: len(policies[policy]), default=DEFAULT_POLICY)
    cases = [
        (is_one_of_texts(_TAGS.repository, names), literal(policy))
        for policy, names in sorted(policies.items())
        if policy != most_common
    ]
    return case(*cases, else_=literal(most_common)) if cases else literal(most_common)
