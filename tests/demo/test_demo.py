"""The complete demo, as `make demo` and `make clean-demo` run it."""

import pytest
from tests.demo.played_demo import open_demo


@pytest.mark.real
@pytest.mark.long
def test_the_demo_ends_with_the_approved_image_and_is_purged() -> None:
    """`make slow` plays it again on the same server."""
    with open_demo() as demo:
        assert "the approved digest" in demo.play()
        demo.purge()
        demo.require_purged()
