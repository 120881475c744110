"""docs/how-to/aws.md's walkthrough, as a newcomer types it, in a source repository that starts as CodeCommit's does.

The stack's repository is here one of this machine's, with the first commit that `dockgate aws deploy` hands over. What
Inspector finds in the two images is what the demo's advisories say of their requirements."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from textwrap import dedent
from typing import Any

import boto3
import jmespath
import pytest
from botocore import xform_name
from tests.aws.account import Account, digest_of, make_approval_event, make_finding, run_account, scan_event

from dockgate.aws.stack.archive import pack_first_commit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "aws.md").read_text()
APPLICATION = resources.files("dockgate.demo").joinpath("app")
NORMALISED = re.compile("[-_.]+")


def run(folder: Path, *command: str, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def read_archive(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        return {name: content.read(name) for name in content.namelist()}


@pytest.fixture(name="commits")
def _commits(tmp_path: Path) -> list[dict[str, str]]:
    """The files of the first commit, and of the second, which the page's commands push."""
    who = {f"GIT_{role}_{field}": "ann@example.org" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    who["GIT_CONFIG_GLOBAL"] = "/dev/null"
    repository, start = tmp_path / "repository.git", tmp_path / "start"
    run(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(repository))
    run(tmp_path, "git", "clone", "--quiet", str(repository), str(start), **who)
    for name, body in read_archive(pack_first_commit(APPLICATION)).items():
        (start / name).parent.mkdir(exist_ok=True)
        (start / name).write_bytes(body)
    run(start, "git", "add", "--all")
    run(start, "git", "commit", "--quiet", "--message", "Initial commit", **who)
    run(start, "git", "push", "--quiet", "origin", "HEAD:main", **who)
    (commands,) = re.findall(r"(?m)^ +git clone(?:.*\n)+?.*git push.*$", PAGE)
    run(tmp_path, "sh", "-euc", dedent(commands), CLONE_URL=str(repository), **who)
    revisions = run(repository, "git", "rev-list", "--reverse", "main").split()
    assert len(revisions) == 2
    return [read_tree(repository, revision) for revision in revisions]


def read_tree(repository: Path, revision: str) -> dict[str, str]:
    names = run(repository, "git", "ls-tree", "-r", "--name-only", revision).split()
    return {name: run(repository, "git", "show", f"{revision}:{name}") for name in names}


def test_the_first_commit_holds_what_codebuild_builds() -> None:
    content = read_archive(pack_first_commit(APPLICATION))
    assert set(content) == {"Dockerfile", "app.py", "requirements.txt", "templates/index.html"}
    lines = content["Dockerfile"].decode().splitlines()
    assert [line for line in lines if line.startswith("FROM")] == [
        "FROM public.ecr.aws/docker/library/python:3.13-slim"
    ]
    for source in [line.split()[1] for line in lines if line.startswith("COPY")]:
        assert any(name.split("/")[0] == source for name in content), source
    assert pack_first_commit(APPLICATION) == pack_first_commit(APPLICATION)


def test_no_page_and_no_dockerfile_pulls_from_docker_hub() -> None:
    """It answers CodeBuild's shared addresses with 429."""
    dockerfile = (ROOT / "src" / "dockgate" / "aws" / "stack" / "application" / "Dockerfile").read_text()
    assert re.findall(r"(?m)^FROM (?!public\.ecr\.aws/)", dockerfile) == []
    assert re.findall(r"(?m)^ +(?:FROM|ARG BASE=)(?! *public\.ecr\.aws/).*", PAGE) == []


def test_the_first_commit_is_rejected_by_its_violations_and_the_second_is_approved(
    commits: list[dict[str, str]], tmp_path: Path
) -> None:
    first, second = commits
    assert {name for name in first if first[name] != second[name]} == {"requirements.txt"}
    with run_account() as account:
        assert answer(account, 1, find_vulnerabilities(first["requirements.txt"], tmp_path)) == "Rejected"
        (summary,) = account.approvals.summaries.values()
        assert "HIGH findings" in summary, summary
        assert answer(account, 2, find_vulnerabilities(second["requirements.txt"], tmp_path)) == "Approved"


def answer(account: Account, number: int, findings: list[dict[str, Any]]) -> str | None:
    """An execution whose image Inspector finds this in."""
    image, functions = digest_of(number), account.make_functions()
    messages = [
        make_finding(image, severity=item.pop("severity"), number=at, **item) for at, item in enumerate(findings, 1)
    ]
    token = account.ask(image)
    functions.record(make_approval_event(token, image=image))
    account.complete_scan(image, *messages)
    counts: dict[str, int] = {}
    for item in messages:
        counts[item["severity"]] = counts.get(item["severity"], 0) + 1
    shown_counts: dict[str, Any] = {
        word: count for word, count in counts.items() if word in ("CRITICAL", "HIGH", "MEDIUM")
    }
    functions.judge(scan_event(image, **shown_counts, TOTAL=len(messages)))
    return account.approvals.answered.get(token)


def find_vulnerabilities(requirements: str, tmp_path: Path) -> list[dict[str, Any]]:
    """What Inspector would find in these packages, going by the demo's advisories."""
    environment = {"DOCKGATE_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT / "src")}
    program = (sys.executable, "-c", "from dockgate.cli.main import main; main()")
    if not (tmp_path / "data").exists():
        run(
            tmp_path,
            *program,
            "db",
            "build",
            "--from",
            str(ROOT / "src" / "dockgate" / "demo" / "advisories"),
            **environment,
        )
    pinned_packages = re.findall(r"(?m)^([A-Za-z0-9._-]+)==(\S+)$", requirements)
    assert len(pinned_packages) == len(requirements.split())
    purls = [f"pkg:pypi/{NORMALISED.sub('-', name).lower()}@{version}" for name, version in pinned_packages]
    result = subprocess.run(
        [*program, "check", *purls, "-o", "json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["purl"] for row in rows] == purls, result.stderr
    return [dict(_iterate_inspector_fields(row, item)) for row in rows for item in row["findings"]]


def _iterate_inspector_fields(row: dict[str, Any], item: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    package = {
        "name": row["source"]["name"],
        "version": row["source"]["version"],
        "packageManager": "PYTHONPKG",
        "filePath": f"usr/local/lib/python3.13/site-packages/{row['source']['name']}/METADATA",
        "fixedInVersion": item["fixed"],
    }
    yield "severity", item["severity"]
    yield (
        "packageVulnerabilityDetails",
        {"vulnerabilityId": item["id"], "source": "NVD", "vulnerablePackages": [package]},
    )


# --- the page's commands of AWS's own command line --------------------------------------------------------------------

COMMAND = re.compile(r"(?<!dockgate )aws (?!codecommit credential|sso )([a-z0-9-]+) ([a-z0-9-]+)((?:\\\n|[^`\n|;)])*)")
OWN_OPTIONS = {"--query", "--output", "--cli-binary-format"}


def list_commands() -> list[tuple[str, ...]]:
    code = "\n".join(line for line in PAGE.splitlines() if line.startswith("    "))
    return [result.groups() for result in COMMAND.finditer(code)]


@pytest.mark.parametrize(
    ("service", "operation", "arguments"), list_commands(), ids=lambda text: str(text).strip()[:30]
)
def test_every_aws_command_of_the_page_exists(service: str, operation: str, arguments: str) -> None:
    """By botocore's model, which the command line is made of: operation, options, required ones, and the query."""
    keys = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    model = boto3.client(service, **keys).meta.service_model
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names
    shape = model.operation_model(names[operation]).input_shape
    existing = {f"--{xform_name(name, '-')}" for name in shape.members}
    matches = set(re.findall(r"--[a-z][a-z-]+", arguments))
    assert matches <= existing | OWN_OPTIONS
    assert {f"--{xform_name(name, '-')}" for name in shape.required_members} <= matches
    for query in re.findall(r"--query (?:'([^']+)'|\"([^\"]+)\"|(\S+))", arguments):
        jmespath.compile(next(filter(None, query)))
