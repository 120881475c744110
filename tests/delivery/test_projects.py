"""The parts of the server that roles for some repositories cover."""

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.projects import make_project


def _pipeline(name: str, image: str, *sources: str) -> Pipeline:
    actions = [Action(source, ActionType.SOURCE, configuration={"repository": source}) for source in sources]
    build = Action("Build", ActionType.BUILD, configuration={"image": image})
    return Pipeline(name, (Stage("Source", tuple(actions)), Stage("Build", (build,))))


def test_a_project_has_what_its_pipelines_alone_build() -> None:
    pipelines = [
        _pipeline("web", "web/app", "web"),
        _pipeline("both", "both/app", "web", "api"),
        _pipeline("base", "shared/base", "web"),
        _pipeline("other base", "shared/base", "api"),
        _pipeline("like git", "tools", "web"),
        _pipeline("like a source", "api", "web"),
        _pipeline("none", "none/app"),
    ]
    project = make_project(("web",), pipelines, {"web", "tools"})
    assert project.pipelines == {"web", "base", "like git", "like a source"}
    assert project.built_repositories == {"web/app"}
    assert project.has_repository("web/app")
    assert not project.has_repository("web/other")
