"""Documents that are applied together: all or none, and in an order that is possible."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.scenarios.server import ServerSystem

from dockgate.delivery.ports import Target
from dockgate.gate.model import Policy
from dockgate.gate.policy import PolicyVersion
from dockgate.identity.model import LOCAL, Caller, Role
from dockgate.services.pipelines.documents import AppliedDocument, DocumentText
from dockgate.services.policies.policies import Policies
from dockgate.shared.errors import ConflictError, DefinitionError, DeniedError, DockgateError
from dockgate.shared.yaml import Document

PIPELINE = """\
kind: Pipeline
name: shop
stages:
  - name: Source
    actions: [{name: Pull, type: source, repository: code, output: Source}]
  - name: Build
    actions: [{name: Image, type: build, input: Source, output: Image, image: shop, container: app}]
  - name: Check
    actions: [{name: Gate, type: approval, image: "shop", policy: strict}]
  - name: Deploy
    actions: [{name: Run, type: deploy, input: Image, service: web}]
"""
TEXTS = {
    "repository.yaml": "kind: Repository\nname: code\n",
    "service.yaml": "kind: Service\nname: web\ntaskDefinition: {container: app}\n",
    "policy.yaml": "kind: Policy\nname: strict\nrules:\n  max_findings: {HIGH: 0}\n",
    "pipeline.yaml": PIPELINE,
    "target.yaml": "kind: Target\nname: again\ntype: pipeline\npipeline: shop\n",
    "rule.yaml": 'kind: Rule\nname: redo\npattern: {"source": ["dockgate"]}\ntargets: [again]\n',
    "assignment.yaml": 'kind: PolicyAssignment\nname: team\nrepositories: ["team/*"]\npolicy: strict\n',
}


class Site:
    def __init__(self, folder: Path) -> None:
        self.system = ServerSystem(folder)

    def apply(
        self, *names: str, changes: Mapping[str, str] = MappingProxyType({}), caller: Caller | None = None
    ) -> list[AppliedDocument]:
        texts = {**TEXTS, **{f"{name}.yaml": text for name, text in changes.items()}}
        documents = [DocumentText(name, texts[name]) for name in names]
        return self.system.services.delivery.documents.apply_all(documents, caller or Caller(LOCAL))

    def list_names(self) -> list[str]:
        """Everything that documents made."""
        store = self.system.store
        return [
            *store.repositories.list_names(),
            *(service.name for service in store.services.list()),
            *(summary.name for summary in store.policies.list()),
            *store.pipelines.list_names(),
            *(record.target.name for record in store.event_targets.list()),
            *(record.rule.name for record in store.event_rules.list()),
            *(record.assignment.name for record in store.policy_assignments.list()),
        ]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    result = Site(tmp_path)
    yield result
    result.system.close()


def test_documents_are_applied_whatever_their_order(site: Site) -> None:
    changes = site.apply(*reversed(TEXTS))
    kinds = ["Repository", "Service", "Policy", "Pipeline", "Target", "Rule", "PolicyAssignment"]
    assert [(change.kind, change.change) for change in changes] == [(kind, "created") for kind in kinds]
    for order in list(permutations(TEXTS))[::500]:
        assert {change.change for change in site.apply(*order)} == {"unchanged"}


@pytest.mark.parametrize(
    ("field", "condition"),
    [
        ("repository", '["127.0.0.1:7421/team/app"]'),
        ("repository", '[{prefix: "localhost:7421/team/"}]'),
        ("repository-name", '[{anything-but: {wildcard: ["127.0.0.1:7421/*"]}}]'),
    ],
)
def test_a_rule_with_our_own_registry_is_refused_since_no_event_has_it(site: Site, field: str, condition: str) -> None:
    rule = TEXTS["rule.yaml"].replace('"source": ["dockgate"]', f"detail: {{{field}: {condition}}}")
    with pytest.raises(DefinitionError, match=f"rule.yaml: Rule redo: event pattern: {field}: .* matches nothing"):
        site.apply(*TEXTS, changes={"rule": rule})
    assert site.list_names() == []
    foreign_rule = rule.replace("127.0.0.1:7421", "quay.io").replace("localhost:7421", "quay.io")
    assert {change.change for change in site.apply(*TEXTS, changes={"rule": foreign_rule})} == {"created"}


@pytest.mark.parametrize(
    "missing_name", ["repository.yaml", "service.yaml", "policy.yaml", "pipeline.yaml", "target.yaml"]
)
def test_a_missing_document_prevents_all_changes(site: Site, missing_name: str) -> None:
    before = site.list_names()
    names = {"repository": "code", "service": "web", "policy": "strict", "pipeline": "shop", "target": "again"}
    with pytest.raises(DockgateError, match=r"^\w+\.yaml: \w+ \w+: ") as error:
        site.apply(*(name for name in TEXTS if name != missing_name))
    assert repr(names[missing_name.removesuffix(".yaml")]) in str(error.value)
    assert site.list_names() == before


@pytest.mark.parametrize(
    ("changed_name", "text", "message"),
    [
        ("rule", TEXTS["rule.yaml"].replace("targets", "tragets"), "rule.yaml:4: tragets"),
        ("policy", TEXTS["policy.yaml"].replace("HIGH", "HIHG"), "policy.yaml:4: "),
        ("service", TEXTS["service.yaml"] + "target: ecs\n", "service.yaml:4: target: "),
        ("target", TEXTS["repository.yaml"], "target.yaml: Repository code: repository.yaml describes it, too"),
        (
            "rule",
            TEXTS["assignment.yaml"].replace("name: team", "name: twice"),
            "rule.yaml: PolicyAssignment twice: the assignment team names the repositories 'team/*' already",
        ),
        (
            "assignment",
            TEXTS["assignment.yaml"] + "owners: [ghost]\n",
            "assignment.yaml: PolicyAssignment team: there is no active principal 'ghost'",
        ),
    ],
)
def test_one_wrong_document_prevents_all_changes(site: Site, changed_name: str, text: str, message: str) -> None:
    before = site.list_names()
    with pytest.raises(DockgateError) as error:
        site.apply(*TEXTS, changes={changed_name: text})
    assert str(error.value).startswith(message)
    assert site.list_names() == before


def test_a_caller_who_may_not_apply_one_document_applies_none(site: Site) -> None:
    before = site.list_names()
    reviewer = Caller(replace(LOCAL, name="olga", roles=(Role.SECURITY,)))
    with pytest.raises(DeniedError):
        site.apply("policy.yaml", "repository.yaml", caller=reviewer)
    assert site.list_names() == before


def test_two_assignments_can_exchange_their_repositories(site: Site) -> None:
    site.apply(
        "policy.yaml",
        "assignment.yaml",
        "rule.yaml",
        changes={"rule": TEXTS["assignment.yaml"].replace("team", "prod")},
    )
    exchanged_texts = {
        "assignment": TEXTS["assignment.yaml"].replace("team/", "prod/"),
        "rule": TEXTS["assignment.yaml"].replace("team", "prod").replace("prod/", "team/"),
    }
    assert [change.change for change in site.apply("assignment.yaml", "rule.yaml", changes=exchanged_texts)] == [
        "updated"
    ] * 2


def test_a_service_that_cannot_change_lets_nothing_be_applied(site: Site) -> None:
    site.apply("service.yaml")
    fixed_port = "taskDefinition: {container: app, ports: [{containerPort: 80, hostPort: 8080}]}\n"
    two = f"kind: Service\nname: web\ndesiredCount: 2\n{fixed_port}"
    with pytest.raises(DockgateError):
        site.apply("repository.yaml", "service.yaml", changes={"service": two})
    assert "code" not in site.list_names()


def test_an_assignment_can_name_repositories_with_our_own_registry(site: Site) -> None:
    registry = site.system.services.addresses.registry
    text = TEXTS["assignment.yaml"].replace('"team/*"', f'"{registry}/team/*", "team/*"')
    site.apply("policy.yaml", "assignment.yaml", changes={"assignment": text})
    (record,) = site.system.store.policy_assignments.list()
    assert record.assignment.repositories == ("team/*",)
    (change,) = site.apply("assignment.yaml", changes={"assignment": text})
    assert change.change == "unchanged"
    with pytest.raises(DockgateError, match=r"PolicyAssignment team: the pattern .* other registries"):
        site.apply("assignment.yaml", changes={"assignment": text.replace("/team/*", "/**")})


@dataclass
class InterruptedPolicies:
    """Policies, with something that another person does between the check of a document and its application."""

    policies: Policies
    interrupt: Callable[[], object]

    def check_document(self, document: Document) -> None:
        self.policies.check_document(document)
        self.interrupt()

    def put_document(self, *arguments: Any) -> tuple[PolicyVersion, int]:
        return self.policies.put_document(*arguments)

    def __call__(self, name: str) -> Policy:
        policy = self.policies(name)
        self.interrupt()
        return policy


@pytest.mark.parametrize(
    ("name", "other_text"),
    [("policy.yaml", TEXTS["policy.yaml"].replace("HIGH", "LOW")), ("pipeline.yaml", PIPELINE.replace("Gate", "Ask"))],
)
def test_a_new_document_replaces_none_that_another_person_creates_meanwhile(
    site: Site, name: str, other_text: str
) -> None:
    site.apply("repository.yaml", "service.yaml")
    if name == "pipeline.yaml":
        site.apply("policy.yaml")
    documents = site.system.services.delivery.documents
    policies = InterruptedPolicies(documents.policies, lambda: documents.apply(other_text, name, Caller(LOCAL)))
    with pytest.raises(ConflictError, match="exists already"):
        replace(documents, policies=policies).create(TEXTS[name], name, Caller(LOCAL))  # type: ignore[arg-type]
    store = site.system.store
    newest_version = store.policies.get("strict") if name == "policy.yaml" else store.pipelines.list_versions("shop")[0]
    assert newest_version.text == other_text


class InterruptedTargets(dict[str, Target]):
    """The targets, with something that another person does while a document is checked."""

    def __init__(self, targets: Mapping[str, Target], interrupt: Callable[[], object]) -> None:
        super().__init__(targets)
        self._interrupt = interrupt

    def __contains__(self, name: object) -> bool:
        self._interrupt()
        return super().__contains__(name)


def test_a_new_service_changes_none_that_another_person_creates_meanwhile(site: Site) -> None:
    documents = site.system.services.delivery.documents
    other_text = TEXTS["service.yaml"].replace("app", "other")
    targets = InterruptedTargets(documents.targets, lambda: documents.apply(other_text, "service.yaml", Caller(LOCAL)))
    with pytest.raises(ConflictError, match="exists already"):
        replace(documents, targets=targets).create(TEXTS["service.yaml"], "service.yaml", Caller(LOCAL))
    services = site.system.store.services
    assert [definition.container for definition in services.list_definitions("web")] == ["other"]
