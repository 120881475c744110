"""Documents to begin with, filled with the names that a person chose. Pure."""

import re
from dataclasses import dataclass
from textwrap import dedent, indent

from dockgate.web.console.policy_examples import EXAMPLES

# What a name is written with, at least. The check of the document knows each kind of names.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


@dataclass(frozen=True, slots=True)
class Template:
    """A document to begin with. `text` has NAME, REPOSITORY and SERVICE where names belong."""

    kind: str
    id: str
    title: str
    text: str


_SOURCE = """\
    # A push to the branch starts the pipeline.
    kind: Pipeline
    name: NAME
    stages:
      - name: Source
        actions:
          - {name: Source, type: source, repository: REPOSITORY, branch: main, output: SourceOutput}
      - name: Build
        actions:
          - name: Build
            type: build
            input: SourceOutput
            output: BuildOutput
            namespace: BuildVariables
            image: REPOSITORY/app
            container: app
"""
_GATE = """\
      - name: Gate
        actions:
          - {name: Approve, type: approval, image: "#{BuildVariables.IMAGE_DIGEST}", timeout: 7d}
"""
_GATE_OF_PEOPLE = """\
      - name: Gate
        actions:
          - name: Approve
            type: approval
            image: "#{BuildVariables.IMAGE_DIGEST}"
            timeout: 7d
            # The verdict decides first; then a person who did not make the commit.
            approvers: {roles: [approver], count: 1}
"""
_DEPLOY = """\
      - name: Deploy
        actions:
          - {name: Deploy, type: deploy, input: BuildOutput, service: SERVICE}
"""
_SERVICE = """\
    kind: Service
    name: NAME
    desiredCount: 1
    taskDefinition:
      container: app
      ports: [{containerPort: 8080}]
      healthCheck: {http: {port: 8080, path: /}, startPeriod: 20s}
"""
_POLICY = "    kind: Policy\n    name: NAME\n    rules:\n"

TEMPLATES = tuple(
    Template(kind, identity, title, dedent(text))
    for kind, identity, title, text in (
        ("repository", "plain", "Empty repository", "    kind: Repository\n    name: NAME\n"),
        ("service", "http", "Web service with a health check", _SERVICE),
        ("pipeline", "deliver", "Build, check, deploy", _SOURCE + _GATE + _DEPLOY),
        ("pipeline", "people", "Build, check, a person approves, deploy", _SOURCE + _GATE_OF_PEOPLE + _DEPLOY),
        ("pipeline", "build", "Build and check", _SOURCE + _GATE),
        *(("policy", example.id, example.title, _POLICY + indent(example.text, " " * 6)) for example in EXAMPLES),
    )
)
KINDS = tuple(dict.fromkeys(template.kind for template in TEMPLATES))


def fill(template: Template, name: str, repository: str, service: str) -> str:
    """The template's text with these names.

    Those that are missing stay as they are, and the check says so. So do other texts: a link may have any, and must
    change no more of the document than its names.
    """
    lines = (
        line.replace("NAME", _choose_name(name, "NAME"), 1) if line == "name: NAME" else line
        for line in template.text.split("\n")
    )
    text = "\n".join(lines).replace("REPOSITORY", _choose_name(repository, "REPOSITORY"))
    return text.replace("SERVICE", _choose_name(service, "SERVICE"))


def _choose_name(text: str, placeholder: str) -> str:
    return text if _WORD.fullmatch(text) else placeholder
