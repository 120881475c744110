"""Rules: applied, listed, tried on an event, and compiled for the events of the log."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockgate.events.field_pattern import refuse_pattern
from dockgate.events.input_template import OutputTooLargeError, compile_input
from dockgate.events.model import OWNERS, Rule, RuleTarget, Target, TargetInput
from dockgate.events.notification_texts import NOTIFIED_TYPES
from dockgate.events.pattern import Pattern, compile_pattern
from dockgate.services.clock import ServerClock
from dockgate.services.images.name_search import strip_own_registry
from dockgate.services.notifications.event_targets import EventTargets
from dockgate.shared.canonical import encode
from dockgate.shared.errors import ConflictError, NotFoundError, UsageError
from dockgate.store import Store
from dockgate.store.events.rules import RuleRecord

DEFAULT_RULE = "default"
# How long no event must have come before the owners get a message about those that have.
DEFAULT_PAUSE = 10

# The fields that name a repository, in our events and in those in the shape of AWS.
_REPOSITORY_FIELDS = ("repository", "repository-name", "repositoryName")

Render = Callable[[Mapping[str, Any], str], str]


@dataclass(frozen=True, slots=True)
class CompiledTarget:
    """A target of a rule. `render` is None where the target gets the event itself."""

    target: RuleTarget
    render: Render | None


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule, ready to match events."""

    rule: Rule
    pattern: Pattern
    targets: tuple[CompiledTarget, ...]


@dataclass(frozen=True, slots=True)
class TriedTarget:
    """The message that a target would get of an event: `data`, or `error`.

    `group_seconds` is None where it is sent at once.
    """

    name: str
    data: str | None
    error: str | None
    group_seconds: int | None


@dataclass(frozen=True, slots=True)
class TriedRule:
    """The answer of a rule to an event: if it matches, and what its targets would get."""

    is_match: bool
    targets: tuple[TriedTarget, ...]


class EventRules:
    """The rules of this server: those that were applied, and the built-in one."""

    def __init__(
        self,
        store: Store,
        targets: EventTargets,
        builtin: Sequence[Target],
        clock: ServerClock,
        registry_names: Sequence[str],
    ) -> None:
        self._store = store
        self._targets = targets
        self._default = make_default_rule(builtin)
        self._clock = clock
        self._registry_names = registry_names
        self._compiled_rules: dict[str, tuple[Rule, CompiledRule]] = {}

    def check(self, rule: Rule, planned_targets: Collection[str] = ()) -> None:
        """Raise UsageError for a rule whose targets neither exist nor are planned.

        DefinitionError for one with our own registry in the names of repositories.
        """
        require_repository_names(rule.pattern, self._registry_names)
        for target in rule.targets:
            if target.name not in (OWNERS, *planned_targets) and self._targets.find(target.name) is None:
                raise UsageError(f"there is no target {target.name!r}", "Apply its Target document, too.")

    def apply(self, rule: Rule, by: str) -> tuple[RuleRecord, str]:
        """Store a rule, and return it with what changed. A rule named "default" replaces the built-in one."""
        self.check(rule)
        before = {record.rule.name: record.version for record in self._store.event_rules.list()}.get(rule.name)
        record = self._store.event_rules.put(rule, by, self._clock.now())
        return record, "created" if before is None else "unchanged" if before == record.version else "updated"

    def list_records(self) -> list[RuleRecord]:
        """All rules; the built-in one, of version 0, first, unless one of its name was applied."""
        records = list(self._store.event_rules.list())
        if any(record.rule.name == DEFAULT_RULE for record in records):
            return records
        return [RuleRecord(self._default, 0), *records]

    def get(self, name: str) -> RuleRecord:
        """The rule of this name, applied or built-in. Raises NotFoundError."""
        for record in self.list_records():
            if record.rule.name == name:
                return record
        raise NotFoundError(f"there is no rule {name!r}", "`dockgate rule list` lists them all.")

    def remove(self, name: str) -> RuleRecord:
        """Remove a rule. ConflictError for the built-in one."""
        record = self.get(name)
        if not record.version:
            raise ConflictError(
                f"the rule {name!r} is built in", f"To end it, apply a Rule named {name} with `state: disabled`."
            )
        self._store.event_rules.remove(name)
        return record

    def try_event(self, name: str, event: Mapping[str, Any]) -> TriedRule:
        """Match an event with a rule, enabled or not, and make what its targets would get. Nothing is sent."""
        rule = compile_rule(self.get(name).rule)
        if not rule.pattern.is_match(event):
            return TriedRule(False, ())
        return TriedRule(True, tuple(_try(target, event, name) for target in rule.targets))

    def list_enabled_rules(self) -> list[CompiledRule]:
        """The enabled rules, compiled once for each change."""
        rules = [record.rule for record in self.list_records() if record.rule.enabled]
        compiled_rules = {}
        for rule in rules:
            before = self._compiled_rules.get(rule.name)
            compiled_rules[rule.name] = before if before and before[0] == rule else (rule, compile_rule(rule))
        self._compiled_rules = compiled_rules
        return [entry[1] for entry in compiled_rules.values()]


def require_repository_names(pattern: object, registries: Collection[str]) -> None:
    """Raise DefinitionError if the pattern has our own registry in the name of a repository.

    Events never have it, and a rule that never matches is found when its message is missed.
    """
    waiting: list[tuple[str, object]] = [("", pattern)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(name if name in _REPOSITORY_FIELDS else field, item) for name, item in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(field, item) for item in value]
        elif field and isinstance(value, str) and (name := strip_own_registry(value, registries)) != value:
            reason = f"{value!r} matches nothing: events name repositories of this registry without it"
            refuse_pattern(
                field, reason, f"Write {name!r}." if name else "Write the beginning of a name, such as team/."
            )


def make_default_rule(builtin: Sequence[Target]) -> Rule:
    """Return the rule about what people are notified of, unless another rule says otherwise.

    Its targets are the log, those of the settings, and owners.
    """
    targets = (*(RuleTarget(target.name) for target in builtin), RuleTarget(OWNERS, group_seconds=DEFAULT_PAUSE))
    return Rule(DEFAULT_RULE, {"source": ["dockgate"], "detail-type": list(NOTIFIED_TYPES)}, targets)


def compile_rule(rule: Rule) -> CompiledRule:
    """Compile a rule. DefinitionError where it is invalid."""
    return CompiledRule(
        rule,
        compile_pattern(rule.pattern),
        tuple(
            CompiledTarget(target, None if target.input == TargetInput() else compile_input(target.input))
            for target in rule.targets
        ),
    )


def _try(compiled_target: CompiledTarget, event: Mapping[str, Any], rule: str) -> TriedTarget:
    target = compiled_target.target
    try:
        data = compiled_target.render(event, rule) if compiled_target.render else encode(event).decode()
    except OutputTooLargeError as error:
        return TriedTarget(target.name, None, error.full_message, target.group_seconds)
    return TriedTarget(target.name, data, None, target.group_seconds)
