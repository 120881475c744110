"""Linux namespaces that the calling thread enters. It does not come back."""

import ctypes
import os
import socket

_CLONE_NEWNET, _CLONE_NEWUTS = 0x40000000, 0x04000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_network(name: str) -> None:
    """Enter a network namespace of `ip netns`."""
    with open(f"/run/netns/{name}") as file:
        _check(_libc.setns(file.fileno(), _CLONE_NEWNET), "setns")


def take_network() -> None:
    """Get a network namespace of one's own, with nothing but a loopback device that is down."""
    _check(_libc.unshare(_CLONE_NEWNET), "unshare")


def take_host_name(name: str) -> None:
    """Get a namespace of one's own in which the host has this name."""
    _check(_libc.unshare(_CLONE_NEWUTS), "unshare")
    socket.sethostname(name)


def _check(result: int, call: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
