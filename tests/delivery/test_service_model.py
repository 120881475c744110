"""Causes of revisions, and their text."""

import pytest

from dockgate.delivery.model import ActionKey, ExecutionId
from dockgate.delivery.service_model import RevisionCause, RolloutKey

KEY = ActionKey(ExecutionId("web-1"), "Deploy", "Deploy", 1)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (RevisionCause(KEY), "web-1/Deploy/Deploy/1"),
        (RevisionCause(KEY, 3), "web-1/Deploy/Deploy/1 above 3"),
        (RevisionCause(RolloutKey("shop", 2), 3), "rollout/shop/2 above 3"),
    ],
)
def test_a_cause_of_a_revision_is_read_from_its_text(cause: RevisionCause, text: str) -> None:
    assert str(cause) == text
    assert RevisionCause.parse(text) == cause


@pytest.mark.parametrize("text", ["", "web-1", "rollout/shop", "web-1/Deploy/Deploy/1 above ", "rollout/shop/2 of 3"])
def test_other_text_is_no_cause(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RevisionCause.parse(text)
