"""The parts of the server that roles for some repositories cover."""

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.projects import make_project


def _make_pipeline(name: str, image: str, *sources: str, version: int = 1) -> Pipeline:
    actions = [Action(source, ActionType.SOURCE, configuration={"repository": source}) for source in sources]
    build = Action("Build", ActionType.BUILD, configuration={"image": image})
    return Pipeline(name, (Stage("Source", tuple(actions)), Stage("Build", (build,))), version=version)


def test_a_project_has_what_its_pipelines_alone_build() -> None:
    pipelines = [
        _make_pipeline("web", "web/app", "web"),
        _make_pipeline("both", "both/app", "web", "api"),
        _make_pipeline("base", "shared/base", "web"),
        _make_pipeline("other base", "shared/base", "api"),
        _make_pipeline("like git", "tools", "web"),
        _make_pipeline("like a source", "api", "web"),
        _make_pipeline("none", "none/app"),
    ]
    project = make_project(("web",), pipelines, {"web", "tools"})
    assert project.pipelines == {"web", "base", "like git", "like a source"}
    assert project.built_repositories == {"web/app"}
    assert project.has_repository("web/app")
    assert not project.has_repository("web/other")


def test_what_an_earlier_version_built_from_another_project_is_no_part_of_this_one() -> None:
    pipelines = [
        _make_pipeline("api", "web/app", "api"),
        _make_pipeline("api", "api/app", "api", version=2),
        _make_pipeline("moved", "moved/app", "api"),
        _make_pipeline("moved", "moved/app", "web", version=2),
        _make_pipeline("web", "web/old", "web"),
        _make_pipeline("web", "web/app", "web", version=2),
    ]
    project = make_project(("web",), pipelines, {"web", "api"})
    assert project.pipelines == {"web"}
    assert project.built_repositories == {"web/old"}
