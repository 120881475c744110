"""How fast the proxy of the registry hands out a blob, beside the bare registry, and how much memory it takes.

    python bench/registry_pull.py [RUNS] [MEGABYTES]

Both are asked in turn, by one client over plain HTTP on loopback; the ratio is that of the medians. The proxy runs in a
process of its own, as the server's does.
"""

import hashlib
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.docker_registry import run_registry
from tests.parts import wait_until
from tests.ports import find_free_port

PROXY = Path(__file__).with_name("_registry_proxy.py")


def main(runs: int, megabytes: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as name, run_registry(Path(name) / "registry") as bare:
        folder, port = Path(name), find_free_port()
        data = os.urandom(1 << 20) * megabytes
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        upload_url = httpx.post(f"{bare.url}/v2/app/blobs/uploads/").headers["Location"]
        httpx.put(httpx.URL(upload_url).copy_add_param("digest", digest), content=data, timeout=600).raise_for_status()
        del data
        proxy = subprocess.Popen([sys.executable, str(PROXY), bare.address, str(port), str(folder)])
        try:
            wait_until(lambda: is_listening(port), seconds=60)
            idle = read_peak_memory(proxy.pid)
            figures: dict[str, list[float]] = {"the bare registry": [], "through the proxy": []}
            for _ in range(runs):
                for route, address in zip(figures, (bare.address, f"127.0.0.1:{port}"), strict=True):
                    figures[route].append(pull(f"http://{address}/v2/app/blobs/{digest}"))
            peak = read_peak_memory(proxy.pid)
        finally:
            proxy.kill()
            proxy.wait()
    medians = [statistics.median(values) for values in figures.values()]
    for (route, values), median in zip(figures.items(), medians, strict=True):
        print(f"{route:18}  median {median:.2f} s  ({min(values):.2f} to {max(values):.2f}, n={runs})")
    print(f"ratio {medians[1] / medians[0]:.1f}; memory of the proxy {idle} MB idle, {peak} MB at most")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pull(url: str) -> float:
    """Seconds until the client has the blob."""
    begin, size = time.perf_counter(), 0
    with httpx.stream("GET", url, timeout=600) as answer:
        for chunk in answer.raise_for_status().iter_raw(1 << 20):
            size += len(chunk)
    assert size == int(answer.headers["Content-Length"])
    return time.perf_counter() - begin


def read_peak_memory(process: int) -> int:
    """The most MB that the process had so far (VmHWM of proc(5))."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9, int(sys.argv[2]) if len(sys.argv) > 2 else 300)
