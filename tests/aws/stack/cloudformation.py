"""Our template as CloudFormation sees it: read with its short forms, and resolved under given parameters."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from dockgate.aws.stack.parameters import read_template

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "gate",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()
"""what AWS::NoValue resolves to: it goes away"""


def find_cfn_lint_data() -> Path:
    """The folder of what cfn-lint knows of AWS, without importing it, which takes half a second."""
    spec = find_spec("cfnlint")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


class _Loader(yaml.CSafeLoader):
    pass


def _expand_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """!Ref and !Condition have no prefix in their long forms, all others have."""
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _expand_tag)


@cache
def parse(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, _Loader)  # noqa: S506 - derived from the safe loader
    return document


def parse_own_template() -> dict[str, Any]:
    return parse(read_template())


def walk(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value in it, itself first, with its path."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, *path, str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, *path, str(index))


@dataclass
class Stack:
    """The template under these parameters. A reference to a resource whose condition does not hold is an error.

    A resource's Ref is "ref:NAME", and an attribute "NAME.Attribute": enough to see what refers to what."""

    parameter_values: Mapping[str, str] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=parse_own_template)

    def __post_init__(self) -> None:
        self.resources = {
            name: {**item, "Properties": self.resolve(item.get("Properties", {}))}
            for name, item in self.template["Resources"].items()
            if self._is_included(item)
        }
        self.outputs = {
            name: self.resolve(item["Value"])
            for name, item in self.template["Outputs"].items()
            if self._is_included(item)
        }

    def select_resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of all resources of this type, by name."""
        return {name: item["Properties"] for name, item in self.resources.items() if item["Type"] == kind}

    def get_parameter(self, name: str) -> Any:
        item = self.template["Parameters"][name]
        value = self.parameter_values.get(name, item.get("Default"))
        if value is None:
            raise KeyError(f"{name} has no default and is not given")
        return str(value).split(",") if item["Type"] == "CommaDelimitedList" else str(value)

    def is_condition_true(self, condition: str) -> bool:
        return self._test(self.template["Conditions"][condition])

    def list_broken_rules(self) -> list[str]:
        """The descriptions of the assertions that fail."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._test(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._test(assertion["Assert"])
        ]

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not NOTHING]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, inner),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call_function(name, inner)
        pairs = {key: self.resolve(inner) for key, inner in value.items()}
        return {key: inner for key, inner in pairs.items() if inner is not NOTHING}

    def _call_function(self, name: str, inner: Any) -> Any:
        if name == "Ref":
            return self._resolve_reference(inner)
        if name == "Fn::GetAtt":
            return f"{self._name_resource(inner[0])}.{inner[1]}"
        if name == "Fn::If":
            return self.resolve(inner[1] if self.is_condition_true(inner[0]) else inner[2])
        if name == "Fn::Join":
            return str(inner[0]).join(self.resolve(inner[1]))
        if name == "Fn::Split":
            return str(self.resolve(inner[1])).split(str(inner[0]))
        if name == "Fn::Sub":
            text, variables = (inner, {}) if isinstance(inner, str) else (inner[0], self.resolve(inner[1]))
            return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", lambda result: self._find_value(result[1], variables), text)
        raise NotImplementedError(name)

    def _find_value(self, name: str, variables: Mapping[str, Any]) -> str:
        if name in variables:
            return str(variables[name])
        if "." in name:
            resource, attribute = name.split(".", 1)
            return f"{self._name_resource(resource)}.{attribute}"
        return str(self._resolve_reference(name))

    def _resolve_reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.template["Parameters"]:
            return self.get_parameter(name)
        return f"ref:{self._name_resource(name)}"

    def _name_resource(self, name: str) -> str:
        if not self._is_included(self.template["Resources"][name]):
            raise LookupError(f"{name} is referred to, and its condition does not hold")
        return name

    def _is_included(self, item: Mapping[str, Any]) -> bool:
        return "Condition" not in item or self.is_condition_true(item["Condition"])

    def _test(self, condition: Any) -> bool:
        ((name, inner),) = condition.items()
        if name == "Condition":
            return self.is_condition_true(inner)
        if name == "Fn::Equals":
            remaining, right = (self.resolve(item) for item in inner)
            return bool(remaining == right)
        if name == "Fn::Not":
            return not self._test(inner[0])
        if name == "Fn::And":
            return all(map(self._test, inner))
        if name == "Fn::Or":
            return any(map(self._test, inner))
        raise NotImplementedError(name)


_ARCHIVE = {"ArchiveBucket": "documents", "ArchiveKey": "functions/1.zip"}
_NEW = {"VpcId": "vpc-12345678", "SubnetIds": "subnet-12345678,subnet-87654321"}
_THERE = {"ClusterName": "blue", "ServiceName": "web", "TaskFamily": "web"}
MODES: dict[str, dict[str, str]] = {
    "whole": {**_ARCHIVE, **_NEW},
    "whole, with everything": {
        **_ARCHIVE,
        **_NEW,
        "PolicyKey": "policies/1.json",
        "WaiversKey": "waivers/1.json",
        "SourceKey": "sources/1.zip",
        "NotificationEmail": "team@example.com",
        "NotificationUrl": "https://example.com/hook",
        "ServiceImage": "repository@sha256:" + "0" * 64,
    },
    "connection": {
        **_ARCHIVE,
        **_NEW,
        "SourceType": "Connection",
        "ConnectionArn": "arn:aws:codeconnections:eu-west-1:123456789012:connection/1",
        "FullRepositoryId": "team/app",
    },
    "existing service": {**_ARCHIVE, **_THERE, "TaskRoleArns": "arn:aws:iam::123456789012:role/run"},
    "existing service without roles": {**_ARCHIVE, **_THERE, "PolicyParameter": "/dockgate/policy"},
    "gate alone": {
        **_ARCHIVE,
        "CreatePipeline": "false",
        "ApprovalActions": "arn:aws:codepipeline:eu-west-1:123456789012:shop/Assess/Gate",
        "ApprovalPipelines": "arn:aws:codepipeline:eu-west-1:123456789012:shop",
    },
    "gate alone, services looked after": {
        **_ARCHIVE,
        "CreatePipeline": "false",
        "ApprovalActions": "arn:aws:codepipeline:eu-west-1:123456789012:shop/Assess/Gate",
        "ApprovalPipelines": "arn:aws:codepipeline:eu-west-1:123456789012:shop",
        "RunningServices": "arn:aws:ecs:eu-west-1:123456789012:service/blue/web,"
        "arn:aws:ecs:eu-west-1:123456789012:service/green/web",
        "ImageRepositories": "arn:aws:ecr:eu-west-1:123456789012:repository/team/shop",
        "CriticalThreshold": "1",
    },
}
"""the ways in which the template may be deployed"""
