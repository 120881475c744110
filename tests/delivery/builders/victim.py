"""A host that its own builds attack. A program that takes a network namespace, where it may have any address:

    python -m tests.delivery.builders.victim FOLDER boxed|unboxed

It prints the log of a build, and then what is left of it: "LEFT …" for each process. In the box, a second build of the
repository follows, which looks for what the first has left.
"""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.namespaces import take_network
from tests.parts import run_host, wait_until, write

from dockgate.delivery.ports import BuildRequest

SECRET = "only-the-host-knows"
MARKER = f"a-process-of-the-host-{os.getpid()}"
DAEMON = f"a-process-that-outlives-its-build-{os.getpid()}"
# All three differ where several hosts are under attack at once.
SHARED_MEMORY = 0x10000000 + os.getpid()
PORT = 4715
OWN = {
    "loopback": "127.0.0.1",
    "loopback-6": "::1",
    "the-address-of-the-host": "198.51.100.7",
    "another-address-of-the-host": "192.0.2.77",
    "a-private-address-of-the-host": "10.201.0.1",
    "a-unique-local-address-of-the-host": "fd01::7",
}
# Addresses of another machine, in a network namespace of its own, that the host routes to.
ABROAD = {
    "a-private-network": "10.200.0.2",
    "cloud-metadata": "169.254.169.254",
    "cloud-metadata-6": "fd00:ec2::254",
    "a-mapped-private-network": "::ffff:10.200.0.2",
    "a-carrier-network": "100.64.0.9",
    "a-public-network": "203.0.113.9",
}
LISTEN = f"""
import socket
server = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def run_neighbour() -> Iterator[None]:
    """Another machine, to which the default route leads."""
    listen = ["unshare", "--net", "--", sys.executable, "-c", LISTEN]
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "ready\n"
            inside = ["nsenter", f"--net=/proc/{listener.pid}/ns/net", "ip"]
            run("ip", "link", "set", "lo", "up")
            run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", str(listener.pid))
            for command, end, number in ((["ip"], "up0", "7"), (inside, "up1", "1")):
                run(*command, "link", "set", end, "up")
                run(*command, "link", "set", "lo", "up")
                run(*command, "address", "add", f"198.51.100.{number}/24", "dev", end)
                run(*command, "address", "add", f"2001:db8::{number}/64", "dev", end, "nodad")
            for command, gateway in ((["ip"], "1"), (inside, "7")):
                run(*command, "route", "add", "default", "via", f"198.51.100.{gateway}")
                run(*command, "-6", "route", "add", "default", "via", f"2001:db8::{gateway}")
            for name, address in OWN.items():
                if "loopback" not in name and name != "the-address-of-the-host":
                    run("ip", "address", "add", address, "dev", "lo")
            for address in ABROAD.values():
                if not address.startswith("::ffff:"):
                    run(*inside, "address", "add", address, "dev", "lo")
            yield
        finally:
            listener.kill()


@contextmanager
def listen_on_host() -> Iterator[None]:
    """Listeners of the host: TCP on every address, and an abstract socket."""
    with (
        socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True) as everywhere,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind("\0" + MARKER)
        abstract.listen()

        def serve(server: socket.socket) -> None:
            while True:
                try:
                    client = server.accept()[0]
                except OSError:
                    return
                with client:
                    client.sendall(SECRET.encode())

        for server in (everywhere, abstract):
            threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield


@contextmanager
def run_secret_process() -> Iterator[None]:
    """A process of the host with the secret in its environment."""
    command = [sys.executable, "-c", f"import time; time.sleep(600)  # {MARKER}"]
    with subprocess.Popen(command, env={"SECRET": SECRET}) as process:
        try:
            yield
        finally:
            process.kill()


def write_context(folder: Path, secrets: dict[str, object]) -> Path:
    """A source whose build runs `attacks` with the Python of this machine, copied."""
    program = Path(os.path.realpath(f"/usr/bin/python3.{sys.version_info.minor}"))
    libraries = Path(sysconfig.get_path("stdlib"))
    root = folder / "root"
    packages = ("encodings", "collections", "json", "re", "ctypes", "importlib", "urllib", "pathlib", "lib-dynload")
    for path in (program, *libraries.glob("*.py"), *list_libraries(program, libraries)):
        target = root / str(path).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in filter(lambda name: (libraries / name).is_dir(), packages):
        target = root / str(libraries / name).lstrip("/")
        shutil.copytree(libraries / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("attacks.py"), root / "attacks.py")
    command = json.dumps([str(program), "-I", "-S", "-B", "/attacks.py"])
    dockerfile = f"FROM scratch\nCOPY root /\nCOPY wanted.json /\nRUN {command}\n"
    return write(folder, {"Dockerfile": dockerfile, "wanted.json": json.dumps(secrets)})


def list_libraries(program: Path, libraries: Path) -> list[Path]:
    """The shared libraries that Python and its modules need."""
    modules = [
        str(path) for name in ("_ctypes", "_socket", "_json") for path in libraries.glob(f"lib-dynload/{name}.*")
    ]
    text = subprocess.run(["ldd", program, *modules], capture_output=True, text=True, check=True).stdout
    return [Path(word) for word in dict.fromkeys(text.split()) if word.startswith("/") and not word.endswith(":")]


def find_leaks(marker: str) -> list[str]:
    leaks = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker in path.read_text(errors="replace"):
                leaks.append(path.parent.name)
        except OSError:
            continue
    return leaks


def main(folder: Path, kind: str) -> None:
    take_network()
    secret_file = folder / "secret"
    secret_file.write_text(SECRET)
    os.environ["SERVER_SECRET"] = SECRET
    libc = ctypes.CDLL(None)
    segment = libc.shmget(SHARED_MEMORY, 4096, 0o1666)  # IPC_CREAT
    listeners = {name: [address, PORT] for name, address in {**OWN, **ABROAD}.items()}
    try:
        with ExitStack() as stack:
            for manager in (run_neighbour(), listen_on_host(), run_secret_process(), run_host(folder)):
                host = stack.enter_context(manager)
            assert host is not None
            listeners["the-registry"] = ["127.0.0.1", int(host.registry.address.rpartition(":")[2])]
            secrets: dict[str, object] = {
                "file": str(secret_file),
                "secret": SECRET,
                "marker": MARKER,
                "daemon": DAEMON,
                "device": os.stat("/").st_dev,
                "abstract": MARKER,
                "shared_memory": SHARED_MEMORY,
                "listeners": listeners,
            }
            builder = host.make_builder(unsafe=kind == "unboxed")
            source = write_context(folder / "source", secrets)
            for number in range(2 if kind == "boxed" else 1):
                write(source, {"wanted.json": json.dumps({**secrets, "number": number})})
                say(f"BUILD {number}")
                builder.build(BuildRequest(f"key-{number}", "attacker", source), lambda lines: say("\n".join(lines)))
                for process in find_leaks(DAEMON):
                    say(f"LEFT {process}")
                    os.kill(int(process), 9)
            wait_until(lambda: find_leaks(MARKER))
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
