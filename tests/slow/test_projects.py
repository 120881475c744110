"""Every limited caller asks every path for what belongs to another project."""

import pytest
from tests.scenarios.projects_site import LIMITED, Projects
from tests.scenarios.test_projects import iterate_paths, projects, require_no_leaks

__all__ = ["projects"]  # the fixture


@pytest.mark.parametrize("who", LIMITED)
def test_no_answer_names_what_is_in_another_project(projects: Projects, who: str) -> None:
    require_no_leaks(projects, [(path, who) for path in dict.fromkeys(iterate_paths(projects))])
