"""Labels: what the host of a worker can do, and what a build needs, such as arch=arm64."""

import re
from collections.abc import Mapping, Sequence

from dockgate.shared.errors import UsageError

LABEL_KEY = "[A-Za-z0-9][A-Za-z0-9._/-]{0,62}"
LABEL_VALUE = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
# A worker listens to one queue for every subset of its labels.
MOST_LABELS = 3

Labels = Mapping[str, str]
NO_LABELS: Labels = {}


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """Return the labels of texts such as "arch=arm64,zone=a".

    UsageError for what is not a label, for two values of one label, and for too many.
    """
    labels: dict[str, str] = {}
    for item in (part.strip() for text in texts for part in text.split(",") if part.strip()):
        match = re.fullmatch(f"({LABEL_KEY})=({LABEL_VALUE})", item)
        if not match:
            raise UsageError(f"not a label: {item!r}", "Write labels as arch=arm64,zone=a.")
        if labels.setdefault(match[1], match[2]) != match[2]:
            raise UsageError(f"two values of the label {match[1]!r}", "A worker has one value of each label.")
    if len(labels) > MOST_LABELS:
        raise UsageError(f"a worker has at most {MOST_LABELS} labels, not {len(labels)}", "Leave some out.")
    return labels
