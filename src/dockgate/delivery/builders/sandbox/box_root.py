"""The root folder of a box. Standard library only: it is part of the program `box`."""

import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dockgate.delivery.builders.sandbox import system
from dockgate.delivery.builders.sandbox.system import BoxError, bind, check, libc, mount

# Name, major and minor number (kernel documentation, admin-guide/devices.txt).
_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))


def make_root(plan: Mapping[str, Any]) -> Path:
    """Make the root folder of the box.

    It is a tmpfs with the host's programs (read only), standard devices, and what the plan names.
    """
    root = Path(plan["root"])
    # Without flags, and writable by the host's root alone: podman takes flags away from this mount, or fails.
    mount("tmpfs", root, "tmpfs", 0, "size=64m,nr_inodes=16384,mode=755")
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        source = Path("/", name)
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            bind(source, root / name)
    _make_devices(root / "dev")
    for name in ("proc", "sys", "run", "tmp", "var", "etc", "root"):
        (root / name).mkdir(exist_ok=True)
    mount(
        "tmpfs", root / "run", "tmpfs", system.MS_NOSUID | system.MS_NODEV, f"size=64m,mode=755,{_format_owner(plan)}"
    )
    mount(
        "tmpfs", root / "root", "tmpfs", system.MS_NOSUID | system.MS_NODEV, f"size=16m,mode=700,{_format_owner(plan)}"
    )
    for name, text in plan["files"].items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for source, target in plan["read_only"]:
        bind(source, root / target.lstrip("/"))
    if plan["disk"]:
        _mount_disk(plan, root)
    return root


def _format_owner(plan: Mapping[str, Any]) -> str:
    return f"uid={plan['users'][1][0]},gid={plan['groups'][1][0]}"


def _make_devices(folder: Path) -> None:
    folder.mkdir()
    mount("tmpfs", folder, "tmpfs", system.MS_NOSUID | system.MS_NOEXEC, "size=64k,mode=755")
    for name, major, minor in _DEVICES:
        os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (folder / name).chmod(0o666)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (folder / name).symlink_to(f"/proc/self/fd{target}")
    for name in ("pts", "shm", "mqueue"):
        (folder / name).mkdir()
    mount("tmpfs", folder / "shm", "tmpfs", system.MS_NOSUID | system.MS_NODEV | system.MS_NOEXEC, "size=64m,mode=1777")
    mount("devpts", folder / "pts", "devpts", system.MS_NOSUID | system.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    (folder / "ptmx").symlink_to("pts/ptmx")
    mount("", folder, "", system.MS_REMOUNT | system.MS_BIND | system.MS_NOSUID | system.MS_NOEXEC | system.MS_RDONLY)


def make_tunnel_device() -> None:
    """Let pasta, which is no longer root on the host, open /dev/net/tun.

    The box itself has no such device.
    """
    Path("/dev/net").mkdir(exist_ok=True)
    mount("tmpfs", "/dev/net", "tmpfs", system.MS_NOSUID | system.MS_NOEXEC, "size=4k,mode=755")
    os.mknod("/dev/net/tun", stat.S_IFCHR | 0o666, os.makedev(10, 200))
    Path("/dev/net/tun").chmod(0o666)


def _mount_disk(plan: Mapping[str, Any], root: Path) -> None:
    """Mount the disk. Only its folder "storage" is kept from earlier builds; the others are emptied."""
    disk = root / "disk"
    disk.mkdir(mode=0o700)
    for attempt in (1, 2):  # the loop device of an earlier box may be about to go
        command = ["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,discard,noatime", plan["disk"], str(disk)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            break
        if attempt == 2:
            raise BoxError(f"cannot mount {plan['disk']}: {result.stderr.strip()}")
    user, group = plan["users"][1][0], plan["groups"][1][0]
    for name, target in plan["folders"].items():
        folder = disk / name
        if name != "storage" and folder.exists():
            subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True, capture_output=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, user, group)
        bind(folder, root / target.lstrip("/"), 0)
    # Only the bound folders are visible.
    disk.chmod(0o700)


def enter_root() -> None:
    """Make the working folder the root, and detach the host's root.

    See pivot_root(2), 'pivot_root(".", ".")': the old root is stacked on the new one, and unmounted. Mounts of a parent
    namespace are locked, so the folder is bound once more, on /proc, which every user may enter.
    """
    mount(".", "/proc", "", system.MS_BIND | system.MS_REC)
    os.chdir("/proc")
    check(libc.pivot_root(b".", b"."), "pivot_root")
    check(libc.umount2(b".", system.MNT_DETACH), "cannot leave the old root")
    os.chdir("/")
