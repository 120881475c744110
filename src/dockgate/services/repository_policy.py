"""What the repositories of an execution ask of themselves: to be judged by more than the server's policy."""

import tarfile
from pathlib import Path

from dockgate.delivery import pipeline as pipeline_logic
from dockgate.delivery.model import ActionKey, ActionType, Pipeline
from dockgate.gate.policy import PolicyReference, make_policy, merge_rules
from dockgate.services.dependencies import Dependencies
from dockgate.shared.errors import DefinitionError

FILE = ".dockgate.yaml"
"""at the root of the source"""
LIMIT = 1 << 16
"""bytes"""


def policy_for(parts: Dependencies, pipeline: Pipeline, key: ActionKey, name: str) -> str:
    """The name of the policy that an approval is judged by: `name`, or that and what the sources ask on top, which is
    kept. DefinitionError with the line for a file that cannot be understood."""
    runs = parts.store.executions.runs(key.execution)
    asked = None
    for action in (action for stage in pipeline.stages for action in stage.actions):
        if action.type is ActionType.SOURCE:
            file = f"{action.configuration['repository']}/{FILE}"
            found = _read(parts.store.blobs.path(pipeline_logic.find_artifact(pipeline, runs, action.output)), file)
            wish = None if found is None else parts.asks(found, file)
            asked = merge_rules(asked, wish) if asked and wish else asked or wish
    policy = parts.policies(name).name
    if asked is None:
        return policy
    asked = make_policy("repository", asked.rules)
    parts.store.policies.keep_requested(asked)
    return str(PolicyReference(policy, asked.digest))


def _read(archive: Path, file: str) -> bytes | None:
    """FILE of a source artifact, None when there is none."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.removeprefix("./") == FILE:
                if not member.isreg() or member.size > LIMIT:
                    raise DefinitionError(
                        f"{file}:1: it is no plain file of at most {LIMIT} bytes",
                        "Write into it what the repository asks, or remove it.",
                    )
                found = tar.extractfile(member)
                return found.read() if found else None
    return None
