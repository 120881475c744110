"""A pipeline's text is read back as the same pipeline."""

import pytest
from tests.delivery.definitions.definition_files import read_definition

from dockgate.delivery.definitions.pipeline_text import write_pipeline
from dockgate.delivery.model import Pipeline

TEXT = """\
kind: Pipeline
name: web
stages:
  - name: Source
    actions: [{name: Source, type: source, repository: web, branch: "no", output: Sources, namespace: Source}]
  - name: Build
    actions:
      - {name: Build, type: build, input: Sources, output: Built, namespace: B, image: web/app, container: app}
      - name: Arm
        type: build
        runOrder: 2
        input: Sources
        output: Arm
        image: web/arm
        container: app
        dockerfile: arm/Dockerfile
        args: {BASE: "127.0.0.1:7421/debian:trixie", AT: "22:22", EMPTY: ""}
        labels: {arch: arm64}
  - name: Gate
    actions:
      - {name: Verdict, type: approval, image: "#{B.IMAGE_DIGEST}", policy: strict, timeout: 90m}
      - name: People
        type: approval
        image: "#{B.IMAGE_DIGEST}"
        timeout: 61
        approvers: {roles: [approver], principals: [ada], count: 2, exclude_committer: false}
  - name: Deploy
    actions: [{name: Deploy, type: deploy, input: Built, service: web}]
"""


def test_a_pipeline_is_read_back_from_its_text() -> None:
    pipeline = read_definition(TEXT, "web.yaml")
    assert isinstance(pipeline, Pipeline)
    text = write_pipeline(pipeline)
    assert read_definition(text, "web.yaml") == pipeline
    assert write_pipeline(pipeline) == text


@pytest.mark.parametrize("setting", ["onFix: branch\n", "onFix: rebuild\nfixesPerDay: 3\n"])
def test_the_settings_of_fixes_are_in_the_pipeline_text(setting: str) -> None:
    pipeline = read_definition(TEXT.replace("name: web\n", f"name: web\n{setting}", 1), "web.yaml")
    assert isinstance(pipeline, Pipeline)
    assert pipeline.on_fix is not None
    assert setting in write_pipeline(pipeline)
    assert read_definition(write_pipeline(pipeline), "web.yaml") == pipeline


@pytest.mark.parametrize("words", ["timeout: 90m", "branch: 'no'", "runOrder: 2", "arch: arm64"])
def test_a_pipeline_is_written_as_people_write_yaml(words: str) -> None:
    pipeline = read_definition(TEXT, "web.yaml")
    assert isinstance(pipeline, Pipeline)
    text = write_pipeline(pipeline)
    assert words in text
    assert "runOrder: 1\n" not in text
    assert "dockerfile: Dockerfile" not in text
