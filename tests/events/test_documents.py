"""Rule and Target documents: what they mean, and that a wrong one is refused with its place and without its secret."""

import pytest
from tests.delivery.definitions.definition_files import read_definition

from dockgate.events.definitions.target import TargetDefinition
from dockgate.events.delivery_times import DailySummary, QuietHours
from dockgate.events.model import Rule, RuleTarget, TargetInput, TargetType
from dockgate.shared.errors import DefinitionError

RULE = """
kind: Rule
name: chat
pattern: {source: [dockgate], detail-type: [service.at_risk]}
targets: [chat]
"""
WEBHOOK = """
kind: Target
name: hook
type: webhook
url: https://user-token.example.org/very-secret?x=hidden
secret: whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ==
"""
SECRETS = ("very-secret", "hidden", "c2VjcmV0")


def read_rule(text: str) -> Rule:
    rule = read_definition(text, "rule.yaml")
    assert isinstance(rule, Rule)
    return rule


def read_target(text: str) -> TargetDefinition:
    target = read_definition(text, "target.yaml")
    assert isinstance(target, TargetDefinition)
    return target


def test_a_rule_names_targets_with_or_without_settings() -> None:
    rule = read_rule(
        RULE.replace(
            "targets: [chat]",
            """state: disabled
targets:
  - chat
  - {name: owners, group: 5m}
  - {name: hook, inputPath: $.detail}
  - {name: queue, input: {fixed: [1, true]}}
  - name: build
    inputTransformer: {inputPathsMap: {image: $.detail.image}, inputTemplate: '{"DIGEST": "<image>"}'}
""",
        )
    )
    assert not rule.enabled
    assert rule.targets == (
        RuleTarget("chat"),
        RuleTarget("owners", group_seconds=300),
        RuleTarget("hook", TargetInput(path="$.detail")),
        RuleTarget("queue", TargetInput(constant='{"fixed": [1, true]}')),
        RuleTarget("build", TargetInput(template='{"DIGEST": "<image>"}', paths={"image": "$.detail.image"})),
    )


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("targets: [chat]", "targets: []", "rule.yaml:5: targets"),
        ("targets: [chat]", "targets: [chat, chat]", "a second target 'chat'"),
        ("targets: [chat]", "targets: [{name: chat, inputPath: x}]", "rule.yaml:5: targets.0.inputPath: the path 'x'"),
        ("targets: [chat]", "targets: [{name: chat, inputPath: $, input: 1}]", "input and inputPath together"),
        ("targets: [chat]", "targets: [{name: chat, inputPath: $, group: 1m}]", "group and inputPath together"),
        ("targets: [chat]", "targets: [{name: chat, grupe: 1m}]", "unknown key 'grupe'"),
        ("targets: [chat]", "targets: [{name: chat, group: often}]", "write a duration"),
        ("targets: [chat]", "targets: [{name: c, inputTransformer: {inputTemplate: <x>}}]", "unknown variable <x>"),
        ("pattern: {source: [dockgate], detail-type: [service.at_risk]}", "pattern: []", "rule.yaml:4: pattern"),
        ("pattern: {source: [dockgate], detail-type: [service.at_risk]}", "", "the key 'pattern' is missing"),
        ("[service.at_risk]", "service.at_risk", "rule.yaml:4: pattern"),
        ("name: chat", "name: a b", "rule.yaml:3: name"),
        ("kind: Rule", "kind: Rules", "unknown kind 'Rules'"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_location(before: str, after: str, message: str) -> None:
    with pytest.raises(DefinitionError) as error_info:
        read_rule(RULE.replace(before, after, 1))
    assert message in str(error_info.value)


def test_a_target_has_its_secrets_apart() -> None:
    definition = read_target(
        WEBHOOK
        + """
mode: binary
for: [ada, "role:security"]
quietHours: {from: "22:00", to: "06:00", timezone: Europe/Berlin}
summary: "08:00"
"""
    )
    target = definition.target
    assert (target.type, target.address, target.settings) == (
        TargetType.WEBHOOK,
        "https://user-token.example.org/…",
        {"mode": "binary"},
    )
    assert target.recipients == ("ada", "role:security")
    assert target.quiet_hours == QuietHours("22:00", "06:00", "Europe/Berlin")
    assert target.summary == DailySummary("08:00")
    assert sorted(definition.secrets) == ["secret", "url"]
    assert not any(secret in repr(definition) for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("type: apprise\nurl: slack://T000/B000/very-secret", TargetType.APPRISE, "slack://…"),
        ("type: pipeline\npipeline: build", TargetType.PIPELINE, "build"),
        (
            "type: sns\narn: arn:aws:sns:eu-west-1:123456789012:x",
            TargetType.SNS,
            "arn:aws:sns:eu-west-1:123456789012:x",
        ),
        ("type: log", TargetType.LOG, ""),
    ],
)
def test_every_type_shows_an_address_without_a_secret(text: str, kind: TargetType, address: str) -> None:
    target = read_target(f"kind: Target\nname: t\n{text}\n").target
    assert (target.type, target.address) == (kind, address)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("type: webhook", "type: carrier-pigeon", "unknown type 'carrier-pigeon'"),
        ("type: webhook\n", "", "the key 'type' is missing"),
        ("name: hook", "name: owners", "reserved"),
        ("name: hook", "name: log", "reserved"),
        ("name: hook", "name: event-bus", "reserved"),
        ("name: hook", "name: hook\nsummary: '8'", "a time of day"),
        ("name: hook", "name: hook\nsummary: {at: '08:00', timezone: Europe/Atlantis}", "no time zone"),
        ("name: hook", "name: hook\nquietHours: {from: '08:00', to: '08:00'}", "begin and end at the same time"),
        ("name: hook", "name: hook\nquietHours: {from: '08:00', until: '09:00'}", "Allowed here: from, to, timezone"),
        ("name: hook", "name: hook\nfor: ['role:king']", "target.yaml:4: for"),
        ("secret: whsec", "secrets: whsec", "unknown key 'secrets'"),
        ("url: https", "url: [https]\n# ", "target.yaml:5: url"),
        ("mode: ", "mode: ", ""),
    ],
)
def test_a_wrong_target_is_refused_without_its_secret(before: str, after: str, message: str) -> None:
    text = WEBHOOK.replace(before, after, 1)
    if not message:
        text += "mode: loud\n"
        message = "mode"
    with pytest.raises(DefinitionError) as error_info:
        read_target(text)
    assert message in error_info.value.full_message
    assert not any(secret in error_info.value.full_message for secret in SECRETS)
