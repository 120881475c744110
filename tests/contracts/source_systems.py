"""Sources that a test can push to: one in memory, and git with a clone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.fakes.repository_host import MemoryHost
from tests.parts import run_git, write

from dockgate.delivery.source_ports import RepositoryHost
from dockgate.delivery.sources.git import GitHost

TIME = "2026-11-24T10:00:00Z"


class Pushes(Protocol):
    """A host that a test can push to; `push` returns the commit's id."""

    host: RepositoryHost

    def push(self, files: Mapping[str, str], message: str = "Change", branch: str = "main") -> str: ...


class Memory:
    def __init__(self, folder: Path) -> None:
        self.host = MemoryHost()

    def push(self, files: Mapping[str, str], message: str = "Change", branch: str = "main") -> str:
        return self.host.push("web", files, message, branch, time=TIME)


class Git:
    def __init__(self, folder: Path) -> None:
        self.host = GitHost(folder / "git")
        self._folder = folder

    def push(self, files: Mapping[str, str], message: str = "Change", branch: str = "main") -> str:
        clone = self._folder / "clone"
        bare = self._folder / "git" / "web.git"
        if not clone.exists():
            run_git(self._folder, "clone", "--quiet", str(bare), str(clone))
        write(clone, files)
        run_git(clone, "add", "--all")
        dates: dict[str, Any] = {"GIT_AUTHOR_DATE": TIME, "GIT_COMMITTER_DATE": TIME}
        run_git(clone, "commit", "--quiet", "--allow-empty", "--message", message, **dates)
        run_git(clone, "push", "--quiet", "origin", f"HEAD:{branch}")
        return run_git(clone, "rev-parse", "HEAD").strip()
