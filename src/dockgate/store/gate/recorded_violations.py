"""What recorded verdicts say of findings, read from their documents."""

import json
from collections.abc import Mapping

from dockgate.store.documents import decompress_document


def read_violations(body: bytes) -> tuple[Mapping[str, str], frozenset[str]]:
    """The names of findings that violate a rule, and those of all findings.

    The former have the message of the first violation. Only the plain JSON is read: building a whole verdict takes ten
    times as long.
    """
    blocking: dict[str, str] = {}
    names: set[str] = set()
    for platform in json.loads(decompress_document(body))["platform_verdicts"]:
        names.update(name for finding in platform["findings"] for name in (finding["id"], *finding["aliases"]))
        for violation in platform["violations"]:
            for finding in violation["findings"]:
                for name in (finding["id"], *finding["aliases"]):
                    blocking.setdefault(name, violation["message"])
    return blocking, frozenset(names)
