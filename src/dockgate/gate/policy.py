"""Policies in canonical form: bytes, references, and stricter ones for a repository.

Pure: no I/O, no clock.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dockgate.gate.model import Policy, RuleAction, Settings
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.vulnerabilities.model import Finding, Severity

# The rule that counts findings by severity: its settings say what counts.
COUNTING_RULE = "max_findings"
# The default of `untriaged_counts_as`: an UNTRIAGED finding may have any severity.
ANY_SEVERITY = "any"
# The rule whose settings list the trusted authors of VEX statements.
VEX_RULE = "vex"
# The rule whose settings list the trusted builders and their keys.
PROVENANCE_RULE = "provenance"
# The rule whose settings are the deadlines of running images.
RISK_RULE = "at_risk"
# The rule under which the summary uses the words of the reference solution.
REFERENCE_RULE = "reference_2022"
REFERENCE_APPROVED = "All vulnerabilities below thresholds"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of a server policy, valid from `changed_at` until the next version.

    `changed_at` is None for a built-in policy, which was always there. Versions count from 1. `text` is the YAML as it
    was written, `rules` and `digest` are its canonical form. A removal is a version without rules and digest.
    """

    name: str
    version: int
    digest: str | None
    rules: dict[str, tuple[Settings, ...]]
    text: str
    changed_at: str | None
    changed_by: str
    comment: str | None = None

    @property
    def is_removed(self) -> bool:
        """Return whether this version records the policy's removal."""
        return self.digest is None


def make_policy(name: str, rules: Mapping[str, Sequence[Mapping[str, object]]]) -> Policy:
    """Make a policy and its digest from complete settings."""
    settings = {rule: tuple(dict(use) for use in rules[rule]) for rule in sorted(rules)}
    policy = Policy(PolicyReference(name), settings, "")
    return replace(policy, digest=compute_digest(encode_policy(policy)))


def encode_policy(policy: Policy) -> bytes:
    """The canonical bytes of name and rules, from which the digest is computed."""
    return canonical.encode({"name": policy.name, "rules": policy.rules})


def decode_policy(data: bytes) -> Policy:
    """The policy from the bytes of `encode_policy`."""
    policy: Policy = canonical.build(Policy, {**json.loads(data), "digest": compute_digest(data)})
    return policy


def get_action(settings: Settings) -> RuleAction:
    """The consequence of a violation under these settings. The default is to reject."""
    return RuleAction(str(settings.get("action", RuleAction.REJECT)))


def assign_counted_severities(
    findings: Iterable[Finding], settings: Mapping[str, object]
) -> Iterator[tuple[Severity, Finding]]:
    """The findings, each with the severity that it counts as; with `only_fixable` only those with a fix."""
    only_fixable, untriaged_as = settings.get("only_fixable"), read_untriaged_severity(settings)
    for finding in findings:
        if finding.fixed or not only_fixable:
            yield untriaged_as if finding.severity is Severity.UNTRIAGED else finding.severity, finding


def read_untriaged_severity(settings: Mapping[str, object]) -> Severity:
    """The severity that UNTRIAGED findings count as at least.

    Where the settings say `any`: HIGH where HIGH or nothing has a limit, else the worst severity with a limit. The
    other severities that such a finding may have are the rule's to report as undetermined.
    """
    setting = settings.get("untriaged_counts_as", Severity.UNTRIAGED)
    if setting != ANY_SEVERITY:
        return Severity(str(setting))
    limited_severities = [severity for severity in Severity if severity in settings]
    return Severity.HIGH if Severity.HIGH in limited_severities or not limited_severities else limited_severities[0]


def merge_rules(policy: Policy, addition: Policy) -> Policy:
    """The policy with the rules that a repository adds: an image has to pass every rule of both.

    The combination approves nothing that `policy` rejects. The repository cannot add VEX authors.
    """
    merged_rules = dict(policy.rules)
    for name, uses in addition.rules.items():
        if name != VEX_RULE:
            existing = merged_rules.get(name, ())
            merged_rules[name] = (*existing, *(use for use in uses if use not in existing))
    return make_policy(f"{policy.name}+{addition.name}", merged_rules)


def combine_policies(policy: Policy, addition: Policy) -> Policy:
    """The policy of the server's and a repository's rules, named by its PolicyReference.

    The repository shortens the deadlines of running images, and never lengthens them: its times count for the
    severities that the policy has a time for. The others have the server's default, which no time may replace.
    """
    policy_severities = list_risk_severities(policy)
    shorter = [
        {severity: use[severity] for severity in use if severity in policy_severities}
        for use in addition.rules.get(RISK_RULE, ())
    ]
    rules = {**addition.rules, RISK_RULE: tuple(filter(None, shorter))}
    return merge_rules(
        policy,
        replace(
            addition, name=PolicyReference(addition.digest), rules={name: uses for name, uses in rules.items() if uses}
        ),
    )


def list_risk_severities(policy: Policy) -> frozenset[str]:
    """The severities for which the policy has a deadline of running images."""
    keys = {key for use in policy.rules.get(RISK_RULE, ()) for key in use}
    return frozenset(severity.value for severity in Severity if severity in keys)


@dataclass(frozen=True, slots=True)
class VexAuthor:
    """A trusted author of VEX statements.

    `keys` are public keys as PEM. A document attached to an image counts as the author's if one of them signed it.
    """

    name: str
    keys: tuple[str, ...] = ()

    @property
    def fingerprints(self) -> frozenset[str]:
        """The digests ("sha256:…") of the keys' DER (SubjectPublicKeyInfo)."""
        return frozenset(filter(None, map(compute_fingerprint, self.keys)))


def list_vex_authors(policy: Policy) -> tuple[VexAuthor, ...]:
    """The authors that the policy trusts: the setting `authors` of the rule `vex`."""
    authors = _list_entries(policy, VEX_RULE, "authors")
    return tuple(VexAuthor(str(author["name"]), tuple(map(str, author.get("keys") or ()))) for author in authors)


def list_provenance_keys(policy: Policy) -> dict[str, str]:
    """The public keys (PEM) of all builders that the policy names, by their fingerprints."""
    builders = _list_entries(policy, PROVENANCE_RULE, "builders")
    keys = {compute_fingerprint(str(pem)): str(pem) for builder in builders for pem in builder["keys"]}
    return {identity: keys[identity] for identity in sorted(filter(None, keys))}


def _list_entries(policy: Policy, rule: str, key: str) -> list[Any]:
    """The entries of a list setting, from all uses of the rule."""
    settings = [use.get(key) for use in policy.rules.get(rule, ())]
    return [entry for entries in settings if isinstance(entries, (list, tuple)) for entry in entries]


def compute_fingerprint(pem: str) -> str | None:
    """The digest ("sha256:…") of the DER inside a PEM public key, None if it is not a public key."""
    body = re.search("-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", pem, re.DOTALL)
    try:
        return compute_digest(base64.b64decode("".join(body[1].split()), validate=True)) if body else None
    except ValueError:
        return None


# Images that a rule can compare with: the one that the service runs, and the one of the repository approved last.
BASELINES = ("running", "approved")


def list_required_baselines(policy: Policy) -> tuple[str, ...]:
    """The BASELINES that any setting of the policy mentions."""
    words = [text for uses in policy.rules.values() for settings in uses for text in _iterate_texts(settings)]
    return tuple(name for name in BASELINES if any(name in text for text in words))


def _iterate_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _iterate_texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _iterate_texts(inner)
