"""How long a Lambda function of ours takes to start: the archive as it is packed, in a place where nothing is written.

Processor time, by a Python of the runtime's version, in turn: our own modules alone (what they import of the standard
library is there already, as the runtime's client brings it), and whole processes: Python alone, with boto3, and with
ours up to the clients of the first verdict.

python bench/aws_cold_start.py [RUNS]
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from dockgate.aws.stack.archive import RUNTIME
from dockgate.services import aws_stack

HANDLERS = "dockgate.aws.functions.handlers"
STANDARD = f"""
import json, sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import {HANDLERS}
print(json.dumps([name for name in sys.modules if name not in before and name.split(".")[0] != "dockgate"]))
"""
OWN = f"""
import contextlib, importlib, json, sys, time
for name in json.loads(sys.argv[2]):
    with contextlib.suppress(ImportError): # os.path is not a module of its own
        importlib.import_module(name)
sys.path.insert(0, sys.argv[1])
begin = time.process_time()
import {HANDLERS}
print(time.process_time() - begin)
"""
EVERYTHING = "import sys, time; sys.path[:0] = sys.argv[1:]; {}; print(time.process_time())"
CLIENTS = "import boto3; [boto3.client(name, region_name='eu-west-1') for name in {}]"
VERDICT = ("codepipeline", "dynamodb", "inspector2", "s3")


def main(runs: int) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs, load", end=" "
    )
    print(f"{os.getloadavg()[0]:.0f}")
    if sys.version_info[:2] != RUNTIME:
        sys.exit(f"The runtime's Python is {'.'.join(map(str, RUNTIME))}: run this by that one.")
    archive = aws_stack.build_archive("default")
    print(f"the archive: {len(archive):,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code")
        zipfile.ZipFile(BytesIO(archive)).extractall(code)
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        standard = _run_isolated(STANDARD, str(code))
        cases = {
            "our own modules": (OWN, str(code), standard),
            "a process: Python alone": (EVERYTHING.format("pass"),),
            "a process: with boto3": (EVERYTHING.format("import boto3"), packages),
            "a process: with boto3 and ours": (EVERYTHING.format(f"import boto3, {HANDLERS}"), str(code), packages),
            "a process: the same, and the clients of a first verdict": (
                EVERYTHING.format(f"import {HANDLERS}; {CLIENTS.format(VERDICT)}"),
                str(code),
                packages,
            ),
        }
        took: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(runs):
            for name, (program, *arguments) in cases.items():
                took[name].append(float(_run_isolated(program, *arguments)))
    for name, times in took.items():
        print(f"{name:56} median {statistics.median(times) * 1000:4.0f} ms  least {min(times) * 1000:4.0f} ms")


def _run_isolated(program: str, *arguments: str) -> str:
    """Isolated, and without writing bytecode: Lambda's file system is read-only."""
    command = [sys.executable, "-I", "-S", "-B", "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
