"""Labels as a worker's options name them."""

import pytest

from dockgate.delivery.labels import parse_labels
from dockgate.shared.errors import UsageError


def test_labels_come_in_one_text_or_in_several() -> None:
    assert parse_labels(["arch=arm64, zone=a", "gpu=yes", "zone=a"]) == {"arch": "arm64", "zone": "a", "gpu": "yes"}
    assert parse_labels([""]) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arch", "not a label: 'arch'"),
        ("arch=", "not a label: 'arch='"),
        ("a=1,b=2,c=3,d=4", "at most 3 labels"),
        ("zone=a,zone=b", "two values of the label 'zone'"),
    ],
)
def test_other_texts_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_labels([text])
