"""Policies in canonical form: the bytes that are hashed, and how one policy is made stricter by another."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dockgate.gate.model import Policy, RuleAction, Settings
from dockgate.shared import canonical
from dockgate.shared.digest import digest_of
from dockgate.vulnerabilities.model import Finding, Severity

# The rule whose settings say how findings are counted.
COUNTING_RULE = "max_findings"
# What UNTRIAGED counts as where a policy does not say: it may be any severity.
ANY = "any"
# The rule whose settings say whose VEX statements are believed.
VEX_RULE = "vex"
# The rule whose settings name the builders, and their keys, that an image may come from.
PROVENANCE_RULE = "provenance"
# The rule with which a verdict is summed up in the words of the reference solution.
REFERENCE_RULE = "reference_2022"
REFERENCE_APPROVED = "All vulnerabilities below thresholds"


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A policy as it stood on the server from `changed_at` on; versions count from 1.

    `text` is the YAML as it was written, `rules` and `digest` what came of it. One that was `removed` has neither: from
    then on there is no such policy, until a further version.
    """

    name: str
    version: int
    digest: str
    rules: dict[str, tuple[Settings, ...]]
    text: str
    changed_at: str
    changed_by: str
    comment: str = ""

    @property
    def removed(self) -> bool:
        return not self.digest


@dataclass(frozen=True, slots=True)
class PolicyReference:
    """The policy that judges an image: a server policy, alone or together with rules that a repository adds.

    `name` is the server policy; `repository_digest` is the digest of the repository's rules, None without any. As text:
    "default", or "default+sha256:…". The name of a server policy has no "+".
    """

    name: str
    repository_digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "PolicyReference":
        name, _, digest = text.partition("+")
        return cls(name, digest or None)

    def __str__(self) -> str:
        return f"{self.name}+{self.repository_digest}" if self.repository_digest else self.name

    @property
    def label(self) -> str:
        """The text for people, without the digest: "default" or "default+repository"."""
        return f"{self.name}+repository" if self.repository_digest else self.name


def make_policy(name: str, rules: Mapping[str, Sequence[Mapping[str, object]]]) -> Policy:
    """A policy of settings that are in full already, with its digest."""
    settings = {rule: tuple(dict(one) for one in rules[rule]) for rule in sorted(rules)}
    policy = Policy(name, settings, "")
    return replace(policy, digest=digest_of(encode_policy(policy)))


def encode_policy(policy: Policy) -> bytes:
    """The canonical bytes of a policy, those its digest is of: its name and rules."""
    return canonical.encode({"name": policy.name, "rules": policy.rules})


def decode_policy(data: bytes) -> Policy:
    """The policy whose `encode_policy` these are."""
    policy: Policy = canonical.build(Policy, {**json.loads(data), "digest": digest_of(data)})
    return policy


def action_of(settings: Settings) -> RuleAction:
    """What follows when the rule is broken under these settings; rejection where they do not say."""
    return RuleAction(str(settings.get("action", RuleAction.REJECT)))


def counted_severity(finding: Finding, settings: Mapping[str, object]) -> Severity | None:
    """The severity that a finding counts as under `max_findings` settings, None when it does not count."""
    if settings.get("only_fixable") and not finding.fixed:
        return None
    return untriaged_severity(settings) if finding.severity is Severity.UNTRIAGED else finding.severity


def untriaged_severity(settings: Mapping[str, object]) -> Severity:
    """The severity that UNTRIAGED findings count as at least.

    Where the settings say `any`: HIGH where HIGH or nothing has a limit, else the worst severity with a limit. The
    other severities that such a finding may have are the rule's to report as undetermined.
    """
    setting = settings.get("untriaged_counts_as", Severity.UNTRIAGED)
    if setting != ANY:
        return Severity(str(setting))
    limited = [severity for severity in Severity if severity.value in settings]
    return Severity.HIGH if Severity.HIGH in limited or not limited else limited[0]


def merge_rules(policy: Policy, added: Policy) -> Policy:
    """The policy with the rules that a repository adds: an image has to pass every rule of both.

    The combination approves nothing that `policy` rejects. The repository cannot add VEX authors.
    """
    merged = dict(policy.rules)
    for name, uses in added.rules.items():
        if name != VEX_RULE:
            existing = merged.get(name, ())
            merged[name] = (*existing, *(use for use in uses if use not in existing))
    return make_policy(f"{policy.name}+{added.name}", merged)


def combine_policies(policy: Policy, added: Policy) -> Policy:
    """`merge_rules`, named by the PolicyReference of both."""
    return merge_rules(policy, replace(added, name=added.digest))


@dataclass(frozen=True, slots=True)
class VexAuthor:
    """Somebody whose VEX statements a policy believes. `keys` are public keys as PEM: documents attached to an image
    count as the author's when one of them signed."""

    name: str
    keys: tuple[str, ...] = ()

    @property
    def fingerprints(self) -> frozenset[str]:
        """ "sha256:…" of each key's DER (SubjectPublicKeyInfo)."""
        return frozenset(filter(None, map(fingerprint, self.keys)))


def vex_authors(policy: Policy) -> tuple[VexAuthor, ...]:
    """Whom the policy believes: the rule `vex`'s setting `authors`, each with `name` and, perhaps, `keys`."""
    given = [settings.get("authors") for settings in policy.rules.get(VEX_RULE, ())]
    authors = [entry for listed in given if isinstance(listed, (list, tuple)) for entry in listed]
    return tuple(VexAuthor(str(author["name"]), tuple(map(str, author.get("keys") or ()))) for author in authors)


def provenance_keys(policy: Policy) -> dict[str, str]:
    """The public keys (PEM) of all builders that the policy names, by their fingerprints."""
    given = [settings.get("builders") for settings in policy.rules.get(PROVENANCE_RULE, ())]
    builders = [entry for listed in given if isinstance(listed, (list, tuple)) for entry in listed]
    keys = {fingerprint(str(pem)): str(pem) for builder in builders for pem in builder["keys"]}
    return {identity: keys[identity] for identity in sorted(keys) if identity}


def fingerprint(pem: str) -> str:
    """ "sha256:…" of the DER inside a PEM public key; "" for what is none, which nothing is signed by."""
    body = re.search("-----BEGIN PUBLIC KEY-----(.+?)-----END PUBLIC KEY-----", pem, re.DOTALL)
    try:
        return digest_of(base64.b64decode("".join(body[1].split()), validate=True)) if body else ""
    except ValueError:
        return ""


# What a rule may compare an image with: what its service runs, what was last approved of its repository.
BASELINES = ("running", "approved")


def required_baselines(policy: Policy) -> tuple[str, ...]:
    """Those of BASELINES that any setting of the policy names."""
    words = [text for uses in policy.rules.values() for settings in uses for text in _texts(settings)]
    return tuple(name for name in BASELINES if any(name in text for text in words))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
