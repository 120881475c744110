"""The host's part of builds: the ids that they run under, and what is missing for a box."""

import grp
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dockgate.delivery.builders.sandbox import cgroups, seccomp
from dockgate.delivery.builders.sandbox.sandbox import PATH, Ids
from dockgate.shared.errors import UnavailableError

# The user that builds run under: no login, no home, no other group.
USER = "dockgate-build"
# Subordinate ids that a build needs: those of a whole image.
COUNT = 65536
# Programs that a box needs, and their Debian packages.
PROGRAMS = {
    "pasta": "passt",
    "nft": "nftables",
    "podman": "podman",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "setpriv": "util-linux",
}
ADD_USER = f"useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {USER}"
ADD_IDS = f"usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST {USER}"


@dataclass(frozen=True, slots=True)
class MissingRequirement:
    """Something that the host lacks. `advice` says how to add it."""

    name: str
    advice: str


def find_missing(path: str = PATH, etc: Path = Path("/etc")) -> list[MissingRequirement]:
    """Everything that this host lacks for builds in a box. `path` is searched for its programs."""
    missing_requirements: list[MissingRequirement] = []
    if os.geteuid() != 0:
        missing_requirements.append(
            MissingRequirement("the server is not root", "Run `dockgate up` as root: it drops all rights for a build.")
        )
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=path) is None:
            missing_requirements.append(MissingRequirement(f"{program} is not installed", f"apt-get install {package}"))
    missing_requirements += _find_missing_ids(etc)
    for path, requirement, advice in (
        ("/proc/self/ns/user", "the kernel has no user namespaces", "Use a kernel with CONFIG_USER_NS."),
        ("/dev/loop-control", "there are no loop devices", "modprobe loop"),
    ):
        if not Path(path).exists():
            missing_requirements.append(MissingRequirement(requirement, advice))
    limit = Path("/proc/sys/user/max_user_namespaces")
    if limit.exists() and int(limit.read_text()) < 2:
        missing_requirements.append(
            MissingRequirement("user namespaces are forbidden", "sysctl user.max_user_namespaces=10000")
        )
    if os.uname().machine not in seccomp.MACHINES:
        missing_requirements.append(
            MissingRequirement(f"system calls cannot be filtered on {os.uname().machine}", "Use x86_64 or aarch64.")
        )
    advice = "Mount cgroup version 2 on /sys/fs/cgroup, with that controller."
    return missing_requirements + [
        MissingRequirement(f"there is no {name} cgroup", advice) for name in cgroups.find_missing_controllers()
    ]


def read_ids() -> Ids:
    """Return the ids of builds. Raises UnavailableError that names all that this host lacks."""
    lacks = find_missing()
    if lacks:
        raise UnavailableError(
            f"this host cannot keep builds apart: {'; '.join(lack.name for lack in lacks)}",
            f"{lacks[0].advice} (`dockgate doctor` lists all). DOCKGATE_UNSAFE_BUILDS=1 builds as root on the host.",
        )
    user = pwd.getpwnam(USER)
    users, groups = _find_range(Path("/etc/subuid"), user.pw_uid), _find_range(Path("/etc/subgid"), user.pw_uid)
    assert users is not None  # noqa: S101 - nothing is missing
    assert groups is not None  # noqa: S101
    return Ids(user.pw_uid, user.pw_gid, users, groups, COUNT)


def _find_missing_ids(etc: Path) -> list[MissingRequirement]:
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return [MissingRequirement(f"there is no user {USER}", f"{ADD_USER} && {suggest_ids()}")]
    missing_requirements = []
    if user.pw_uid == 0 or user.pw_gid == 0:
        missing_requirements.append(MissingRequirement(f"{USER} is root", f"userdel {USER} && {ADD_USER}"))
    if any(USER in group.gr_mem for group in grp.getgrall()):
        missing_requirements.append(
            MissingRequirement(f"{USER} is a member of other groups", f"usermod --groups '' {USER}")
        )
    return missing_requirements + [
        MissingRequirement(f"{USER} has no {COUNT} ids in /etc/{name}", suggest_ids())
        for name in ("subuid", "subgid")
        if _find_range(etc / name, user.pw_uid) is None
    ]


def suggest_ids() -> str:
    """Return a command that gives the user a range of ids that no other user has."""
    first = 100_000
    for name in ("subuid", "subgid"):
        for _, start, count in _read_entries(Path("/etc", name)):
            first = max(first, start + count)
    first = max(first, *(entry.pw_uid + 1 for entry in pwd.getpwall() if entry.pw_uid < 2**31))
    return ADD_IDS.replace("FIRST-LAST", f"{first}-{first + COUNT - 1}")


def _find_range(path: Path, user: int) -> int | None:
    """Return the first id of a range that is large enough, and of which no other user has a part."""
    entries = _read_entries(path)
    for owner, start, count in entries:
        if owner not in (USER, str(user)) or count < COUNT or start < 1000:
            continue
        foreign_entries = [entry for entry in entries if entry[0] not in (USER, str(user))]
        if not any(
            entry_start < start + COUNT and start < entry_start + number for _, entry_start, number in foreign_entries
        ):
            return start
    return None


def _read_entries(path: Path) -> Sequence[tuple[str, int, int]]:
    """Return owner, first id and number of ids (subuid(5))."""
    entries = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    for line in lines:
        owner, _, span = line.partition(":")
        start, _, count = span.partition(":")
        if start.isdecimal() and count.strip().isdecimal():
            entries.append((owner, int(start), int(count)))
    return entries
