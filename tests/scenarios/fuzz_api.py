"""The fuzzer of the API: schemathesis on our own OpenAPI document, as one caller, against a running server."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from tests.scenarios.route_table import ROUTES
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_routes import Callers

from dockgate.identity.model import Permission

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "build/schemathesis/bin/st"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SEED = 20261128


def fuzz_calls(
    callers: Callers, who: str, folder: Path, permissions: Collection[Permission | None], *options: str
) -> str:
    """Run it with the token of `who` on the calls that need one of these permissions.

    Returns "" when all answers agree with the document, else what does not.
    Its own calls cannot lock it out: the names and ids that it makes up belong to no one, and the last admin stays one.
    """
    headers = ["--header", f"Authorization: Bearer {callers.tokens[who]}"] if who else []
    result = subprocess.run(
        [
            *(str(PROGRAM), "--config-file", str(CONFIGURATION), "run"),
            # The document is read from a file: the caller may have no right to it.
            *(str(_write_document(callers, folder, permissions)), "--url", callers.server.url, *headers),
            *("--seed", str(SEED), "--generation-deterministic", "--no-color", "--warnings", "off"),
            *("--continue-on-failure", "--request-timeout", "60", *options),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if result.returncode == 0 else result.stdout + result.stderr


def _write_document(callers: Callers, folder: Path, permissions: Collection[Permission | None]) -> Path:
    headers = {"Authorization": f"Bearer {callers.tokens['admin']}"}
    document = callers.client.get("/api/v1/openapi.json", headers=headers).json()
    rows = {route.replace(":path", ""): row for route, row in ROUTES.items()}
    for path, operations in document["paths"].items():
        allowed_methods = {method: rows[f"{method.upper()} {path}"].permission in permissions for method in operations}
        document["paths"][path] = {method: operations[method] for method in operations if allowed_methods[method]}
    file = folder / "openapi.json"
    file.write_text(json.dumps(document))
    return file


def main(seconds: int) -> int:
    """Every role for so many seconds."""
    code = 0
    for who in ("", "viewer", "developer", "approver", "security", "admin"):
        with tempfile.TemporaryDirectory() as folder, ServerSystem(Path(folder)) as server:
            callers = Callers(server)
            limit = ("--phases", "coverage,fuzzing,stateful", "--max-time", str(seconds))
            problems = fuzz_calls(callers, who, Path(folder), {None, *Permission}, *limit)
            callers.client.close()
            sys.stdout.write(f"{who or 'no caller'}: {problems or 'every answer agrees with the document'}\n")
            code |= bool(problems)
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
