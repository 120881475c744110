"""The functions' archive: small, the same bytes each time and from wherever Dockgate is installed, alone sufficient."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tests.aws.stack.cloudformation import MODES, Stack
from tests.scanner.ecosystems.test_upgrades import CASES, parse_upgrade

from dockgate.aws.stack import archive
from dockgate.aws.stack.archive import pack_files
from dockgate.gate import rules
from dockgate.gate.definitions.policy import read_builtin_policy, read_named_policy
from dockgate.gate.policy import decode_policy, make_policy
from dockgate.services import aws_stack
from dockgate.shared.errors import UsageError

DIGEST = "9909e91981cb569d0b2750f05d0e37f10fadf22f8bd7de2538fd4833f8eb0cdc"
ROOT = Path(__file__).parents[3]
NEEDS_CEL = "expression: [{when: 'findings.size() > 3', message: too many}]"
BUILD = """
import hashlib, sys
from dockgate.services import aws_stack
import dockgate
sys.stdout.write(dockgate.__file__ + "\\n" + hashlib.sha256(aws_stack.build_archive("default")).hexdigest())
"""


@pytest.fixture(scope="module")
def archive_bytes() -> bytes:
    return aws_stack.build_archive("default")


def read_members(archive_bytes: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive_bytes)) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_archive_has_no_foreign_files(archive_bytes: bytes) -> None:
    """A guard against large new modules: users of a large policy get a large archive, and no error."""
    assert len(archive_bytes) <= 1_350_000


def test_a_large_policy_is_packed_like_any_other() -> None:
    names = [{"name": hashlib.sha256(str(item).encode()).hexdigest(), "versions": ""} for item in range(20_000)]
    large = make_policy("large", {"forbidden_packages": [{"packages": names, "action": "reject"}]})
    assert decode_policy(read_members(archive.build_archive(large, rules.load()))[archive.POLICY]) == large


def test_the_archive_has_only_the_packages_files_and_the_policy(archive_bytes: bytes) -> None:
    """Nothing that depends on the Python that packs: no bytecode, and nothing deflated."""
    for name, data in read_members(archive_bytes).items():
        assert name == archive.POLICY or data == (ROOT / "src" / name).read_bytes(), name
    with zipfile.ZipFile(io.BytesIO(archive_bytes)) as file:
        assert {item.compress_type for item in file.infolist()} == {zipfile.ZIP_STORED}


def test_an_archive_depends_only_on_names_and_bytes() -> None:
    """The digest was taken once: any Python has to give it."""
    first, second = {"a.py": b"1\n" * 5000, "b/c.txt": "ä".encode()}, {"b/c.txt": "ä".encode(), "a.py": b"1\n" * 5000}
    assert pack_files(first) == pack_files(second)
    assert hashlib.sha256(pack_files(first)).hexdigest() == DIGEST


def test_the_same_bytes_each_time(archive_bytes: bytes) -> None:
    assert aws_stack.build_archive("default") == archive_bytes


def test_the_same_bytes_from_an_installed_wheel(archive_bytes: bytes, tmp_path: Path) -> None:
    """What setuptools installs of the checkout, on its own path, with the checkout out of sight."""
    build = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q"]
    build += ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path / "installed")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    path = f"import sys; sys.path[:0] = [{str(tmp_path / 'installed')!r}, {sysconfig.get_path('purelib')!r}]\n"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + BUILD], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    where, digest = result.stdout.split("\n")
    assert where.startswith(str(tmp_path))
    assert digest == hashlib.sha256(archive_bytes).hexdigest()


PACK = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from dockgate.gate import rules
from dockgate.aws.stack import archive
from dockgate.gate.policy import decode_policy
print(hashlib.sha256(archive.build_archive(decode_policy(sys.stdin.buffer.read()), rules.load())).hexdigest())
"""
PYTHONS = {shutil.which(f"python3.{minor}", path="/usr/bin:/usr/local/bin") for minor in range(11, 16)}


# The suite asks another Python than this one, if there is one.
OLDEST, *OTHERS = [*sorted(filter(None, PYTHONS), key=lambda path: int(path.rpartition(".")[2])), sys.executable]


@pytest.mark.parametrize("python", [OLDEST, *(pytest.param(python, marks=pytest.mark.slow) for python in OTHERS)])
def test_the_archive_has_the_same_bytes_from_every_python(archive_bytes: bytes, python: str) -> None:
    """With the standard library alone: packing needs no more."""
    command = [python, "-I", "-S", "-B", "-c", PACK, str(ROOT / "src")]
    result = subprocess.run(command, input=aws_stack.encode_policy_document("default"), capture_output=True, check=True)
    assert result.stdout.decode().strip() == hashlib.sha256(archive_bytes).hexdigest()


def test_the_archive_is_for_the_templates_runtime() -> None:
    runtimes = {item["Runtime"] for item in Stack(MODES["whole"]).select_resources("AWS::Lambda::Function").values()}
    assert runtimes == {"python{}.{}".format(*archive.RUNTIME)}


def test_the_archive_contains_the_policy_in_canonical_form(archive_bytes: bytes) -> None:
    assert decode_policy(read_members(archive_bytes)[archive.POLICY]) == read_builtin_policy("default", rules.load())


def test_a_rule_that_needs_a_library_is_refused_by_its_name() -> None:
    needs = read_named_policy(NEEDS_CEL, "ours", rules.load())
    with pytest.raises(UsageError, match=r"expression \(needs ") as error:
        archive.build_archive(needs, rules.load())
    assert "ours" in str(error.value)


def test_every_builtin_policy_can_run() -> None:
    for name in ("default", "reference-2022"):
        archive.refuse_policy(read_builtin_policy(name, rules.load()), rules.load())


ALONE = """
import sys
standard = set(sys.modules)
sys.path[:] = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
sys.path.insert(0, sys.argv[1])
from dockgate.aws.functions import handlers
for name in sys.argv[2:]:
    assert callable(getattr(handlers, name))
from dockgate.gate import rules
from dockgate.scanner import ecosystems
ecosystems.load(), rules.load()
from dockgate.aws.functions.settings import from_environment
from dockgate.gate.external import inspector
from dockgate.reports import load
load("html"), load("json")
foreign = {name.partition(".")[0] for name in set(sys.modules) - standard} - set(sys.stdlib_module_names) - {"dockgate"}
assert not foreign, foreign
print("ok")
"""


def test_the_archive_runs_without_the_checkout(archive_bytes: bytes, tmp_path: Path) -> None:
    """Isolated, out of the archive itself, with nothing installed: boto3 is asked for at the first event alone."""
    file = tmp_path / "functions.zip"
    file.write_bytes(archive_bytes)
    functions = Stack(MODES["whole"]).select_resources("AWS::Lambda::Function").values()
    handlers = [function["Handler"] for function in functions]
    assert {handler.rpartition(".")[0] for handler in handlers} == {"dockgate.aws.functions.handlers"}
    names = [handler.rpartition(".")[2] for handler in handlers]
    result = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(file), *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "ok\n"), result.stderr


JUDGES = """
import json, sys
from contextlib import suppress
sys.path.insert(0, sys.argv[1])
from dockgate.scanner import ecosystems
from dockgate.gate.remediation.result import build_commands
from dockgate.shared.errors import UncomparableError
from dockgate.scanner.model import Inventory, Package
from dockgate.gate.model import Upgrade
from dockgate.vulnerabilities.versions import Orders
kinds = ecosystems.load()
orders = Orders(kinds)
for name, ecosystem, version, fixed, path in json.load(sys.stdin):
    package = Package(name, version, "pkg:x/y@1", ecosystem, name, version, path)
    upgrade = Upgrade("pkg:x/y@1", name, version, fixed, ())
    assert build_commands([upgrade], Inventory(None, None, None, (), (package,), ()), kinds)
    with suppress(UncomparableError):
        orders.compare(ecosystem, version, fixed)
print("ok")
"""


def test_no_command_and_no_order_needs_what_stays_out(archive_bytes: bytes, tmp_path: Path) -> None:
    content = read_members(archive_bytes)
    for name in ("scanner/layer_reader.py", "delivery/ports.py", "services/images/image_inventory.py"):
        assert (ROOT / "src/dockgate" / name).exists()
        assert f"dockgate/{name}" not in content
    file = tmp_path / "functions.zip"
    file.write_bytes(archive_bytes)
    candidates = [parse_upgrade(text) for case in CASES for text in case["raise"]]
    request = [(item.name, item.ecosystem, item.version, fixed, item.path) for item, fixed in candidates]
    command = [sys.executable, "-I", "-S", "-c", JUDGES, str(file)]
    result = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "ok\n"), result.stderr
