"""Small inventories, advisories and policies for the gate's tests: npm packages under real ecosystems and rules."""

from collections.abc import Mapping, Sequence

from dockgate.gate import evaluate, rules
from dockgate.gate.definitions import policy as definitions
from dockgate.gate.definitions.policy import complete_settings
from dockgate.gate.model import Policy, Verdict, VerdictCase
from dockgate.gate.policy import make_policy
from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Range, Rating, Severity

NOW = "2026-11-24T12:00:00Z"
CHECKED = "2026-11-24T06:00:00Z"
IMAGE = "sha256:" + "1" * 64
RULES = rules.load()
ECOSYSTEMS = ecosystems.load()
COVERED = (Coverage("npm", True, (), CHECKED),)


def make_package(name: str, version: str = "1.0.0", path: str = "") -> Package:
    path = path or f"app/node_modules/{name}/package.json"
    return Package(name, version, f"pkg:npm/{name}@{version}", "npm", name, version, path)


def make_inventory(
    *packages: Package, platform: str = "linux/amd64", unread_paths: tuple[Unread, ...] = ()
) -> Inventory:
    return Inventory(IMAGE, platform, None, ("sha256:" + "2" * 64,), packages, unread_paths)


def make_advisory(
    identity: str, name: str, severity: Severity = Severity.HIGH, fixed: str = "2.0.0", introduced_in: str = "0"
) -> Advisory:
    """`fixed` "" for none; UNTRIAGED for no rating."""
    events = (("introduced", introduced_in), ("fixed", fixed))[: 2 if fixed else 1]
    ratings = () if severity is Severity.UNTRIAGED else (Rating("advisory", severity),)
    return Advisory(identity, "npm", name, (Range("SEMVER", events),), ratings=ratings)


def build_policy(**settings: Mapping[str, object]) -> Policy:
    """Of these rules' settings, filled in, with the rules that always hold."""
    value = {rule.name: settings.get(rule.name, rule.mandatory_settings) for rule in RULES}
    full = {
        rule.name: (complete_settings(rule, settings_of_rule),)
        for rule in RULES
        if (settings_of_rule := value[rule.name]) is not None
    }
    return make_policy("strict", full)


def read_policy(text: str) -> Policy:
    """A policy as it is written, in YAML."""
    return definitions.read_named_policy(text, "strict", RULES)


def limit_findings(**settings: object) -> Policy:
    return build_policy(max_findings=settings)


def judge(
    inventories: Sequence[Inventory] | Inventory,
    advisories: Sequence[Advisory] = (),
    under: Policy | None = None,
    coverage: tuple[Coverage, ...] = COVERED,
    now: str = NOW,
) -> Verdict:
    inventories_to_judge = [inventories] if isinstance(inventories, Inventory) else inventories
    snapshot = AdvisorySnapshot(tuple(advisories), coverage)
    case = VerdictCase(IMAGE, under or limit_findings(HIGH=0), now, "0.1.0", tuple(inventories_to_judge), snapshot)
    return evaluate.judge(case, ECOSYSTEMS, RULES)
