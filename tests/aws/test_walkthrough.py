"""docs/aws.md's first step, as a newcomer types it: into an empty repository, here one of this machine's."""

import os
import re
import subprocess
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_commit_holds_what_codebuild_builds(tmp_path: Path) -> None:
    (commands,) = re.findall(r"(?m)^ +git clone(?:.*\n)+?.*git push.*$", (ROOT / "docs" / "aws.md").read_text())
    checkout, repository = tmp_path / "checkout", tmp_path / "repository.git"
    checkout.mkdir()
    (checkout / "src").symlink_to(ROOT / "src")
    run(tmp_path, "git", "init", "--quiet", "--bare", str(repository))
    who = {f"GIT_{role}_{what}": "ann@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    run(checkout, "sh", "-euc", dedent(commands), CLONE_URL=str(repository), GIT_CONFIG_GLOBAL="/dev/null", **who)
    files = run(repository, "git", "ls-tree", "-r", "--name-only", "main").split()
    assert {"Dockerfile", "app.py", "requirements.txt"} <= set(files)
    dockerfile = run(repository, "git", "show", "main:Dockerfile")
    assert re.findall(r"(?m)^(?:ARG BASE|FROM).*", dockerfile) == ["ARG BASE=python:3.13-slim", "FROM ${BASE}"]
