"""A template takes the names that a person chose, and nothing else."""

import pytest

from dockgate.web.console.definition_templates import TEMPLATES, fill

PIPELINE = next(template for template in TEMPLATES if template.kind == "pipeline")


def test_a_template_has_the_chosen_names() -> None:
    text = fill(PIPELINE, "Web-2", "team/app", "web.1")
    assert "\nname: Web-2\n" in text
    assert "repository: team/app, branch: main" in text
    assert "service: web.1}" in text


@pytest.mark.parametrize("text", ["", "web\nstages: []", "web, branch: other} #", "a b", "*a", "\u202eweb", '"'])
def test_a_link_changes_no_more_of_a_template_than_its_names(text: str) -> None:
    assert fill(PIPELINE, text, text, text) == PIPELINE.text
