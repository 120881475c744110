"""`.dockgate.yaml`: what a repository asks of itself, beyond what the server's policy requires."""

from collections.abc import Sequence

from dockgate.gate.definitions import policy as policies
from dockgate.gate.model import Policy
from dockgate.gate.rule import Rule
from dockgate.shared.errors import DefinitionError

# The name of the policy in a repository.
NAME = "repository"
KEYS = ("policy",)


def read_requested_policy(data: bytes, file: str, rules: Sequence[Rule]) -> Policy | None:
    """Read the rules under the file's key `policy`, and no others; None if it has none.

    Raises DefinitionError, which names `file`.
    """
    from dockgate.shared.yaml import load_document

    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DefinitionError(f"{file}:{line}: it is not UTF-8: {error.reason}", "Save it as UTF-8.") from None
    document = load_document(text, file)
    if document.value is None:
        return None
    if not isinstance(document.value, dict):
        raise document.make_error((), "it is not a mapping", f"Allowed here: {', '.join(KEYS)}.")
    for key in document.value:
        if key not in KEYS:
            raise document.make_error((key,), f"unknown key {key!r}", f"Allowed here: {', '.join(KEYS)}.")
    if "policy" not in document.value:
        return None
    return policies.parse_rules(document, ("policy",), NAME, rules, should_add_mandatory=False)
