import pytest

# A story that fails then tells what was there instead.
pytest.register_assert_rewrite("tests.scenarios.killable_server", "tests.scenarios.stories")
