"""A server with a git repository, and a clone of it."""

import asyncio
import socket
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from tests.parts import run_git, write
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem

from dockgate.delivery.sources.git import GitHost, run_http_backend
from dockgate.delivery.sources.git_files import GitFiles

NONE = "0" * 40
RECEIVE, UPLOAD = "/git/web.git/git-receive-pack", "/git/web.git/git-upload-pack"


@dataclass
class Gate:
    """git's HTTP backend, which waits where a test tells it to: "start" or "answer"."""

    folder: Path
    wait_at: str = ""
    reached: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    async def __call__(
        self, repository: str, path: str, method: str, query: str, headers: Mapping[str, str], body: IO[bytes] | None
    ) -> tuple[int, Mapping[str, str], AsyncGenerator[bytes, None]]:
        await self._wait("start")
        backend = partial(run_http_backend, self.folder, max_push=1 << 20)
        status, fields, chunks = await backend(repository, path, method, query, headers, body)

        async def answer_slowly() -> AsyncGenerator[bytes, None]:
            await self._wait("answer")
            async for chunk in chunks:
                yield chunk

        return status, fields, answer_slowly()

    async def _wait(self, step: str) -> None:
        if self.wait_at == step:
            self.reached.set()
            await asyncio.to_thread(self.open.wait, 60)


@dataclass
class Host:
    server: ServerSystem
    gate: Gate
    clone: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def make_url(self, token: str = "") -> str:
        scheme, _, address = self.server.url.partition("://")
        return f"{scheme}://x:{token}@{address}/git/web.git" if token else f"{self.server.url}/git/web.git"

    def name_people(self) -> None:
        self.tokens["admin"] = self.server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        for role in ("viewer", "developer"):
            for path, body in (("principals", {"name": role, "roles": [role]}), ("tokens", {"principal": role})):
                answer = self.server.client.post(f"/{path}", json=body, headers=headers).json()
            self.tokens[role] = answer["text"]

    def audit(self) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"} if self.tokens else {}
        entries: list[dict[str, Any]] = self.server.client.get("/audit", headers=headers).json()
        return [entry for entry in entries if entry["call"].startswith("POST /git/")]

    def commit(self, text: str) -> str:
        write(self.clone, {"a": text})
        run_git(self.clone, "add", "--all")
        run_git(self.clone, "commit", "--quiet", "--message", text)
        return run_git(self.clone, "rev-parse", "HEAD").strip()

    def push_body(self, new: str, old: str = NONE, ref: str = "refs/heads/main") -> bytes:
        """What `git push` posts: the command and a pack (gitprotocol-pack(5))."""
        command = f"{old} {new} {ref}\0report-status".encode()
        pack = self.clone.parent / "pack"
        revisions = self.clone.parent / "revisions"
        revisions.write_text(f"{new}\n")
        with revisions.open("rb") as source, pack.open("wb") as output:
            subprocess.run(
                ["git", "-C", str(self.clone), "pack-objects", "--quiet", "--stdout", "--revs"],
                stdin=source,
                stdout=output,
                check=True,
            )
        return b"%04x" % (len(command) + 4) + command + b"0000" + pack.read_bytes()

    def send(self, body: bytes, length: int | None = None) -> socket.socket:
        """Post a push by hand, or a part of one, and leave the connection open."""
        address, _, port = self.server.url.removeprefix("http://").partition(":")
        connection = socket.create_connection((address, int(port)), timeout=60)
        connection.sendall(
            f"POST {RECEIVE} HTTP/1.1\r\nHost: {address}:{port}\r\n"
            f"Content-Type: application/x-git-receive-pack-request\r\n"
            f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode()
            + body
        )
        return connection

    def list_references(self) -> Mapping[str, str]:
        return GitHost(self.gate.folder).list_references("web")

    @property
    def list_started_commits(self) -> list[str]:
        """The commits that executions were started for."""
        return [execution.trigger["commit"] for execution in self.server.store.executions.list_for_pipeline("web", 100)]


@contextmanager
def open_host(tmp_path: Path) -> Iterator[Host]:
    """Start the server in a folder, with the repository `web` and its pipeline."""
    folder = tmp_path / "git"
    gate = Gate(folder)
    (tmp_path / "data").mkdir()
    with ServerSystem(tmp_path / "data", source=GitHost(folder), files=GitFiles(folder), git_backend=gate) as server:
        server.apply("kind: Repository\nname: web\n")
        server.apply(SERVICE.format(name="web", count=1))
        server.apply(PIPELINE.format(name="web", repository="web", service="web", timeout="7d"))
        clone = tmp_path / "clone"
        clone.mkdir()
        run_git(clone, "init", "--quiet")
        yield Host(server, gate, clone)
