"""The demo twice: the second one uses the server and the base image of the first one."""

import pytest
from tests.demo.played_demo import open_demo


@pytest.mark.real
def test_the_demo_can_be_repeated_and_purged() -> None:
    with open_demo() as demo:
        demo.play()
        second_output = demo.play()
        assert "The server of an earlier run is up" in second_output
        assert "mmdebstrap" not in second_output
        assert "the approved digest" in second_output
        demo.purge()
        demo.require_purged()
