#!/usr/bin/env python3
"""Run Chromium without netlink sockets: the program that tests give to Playwright as the browser.

Chromium breaks off every request when an interface of the host comes or goes, as containers of other tests make them.
It learns that from a netlink socket; refused one, it takes the network as unchanged. The refusal is a seccomp filter
(linux/seccomp.h, linux/filter.h), which all processes of Chromium inherit.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

CHROMIUM = "/usr/bin/chromium-headless-shell"
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
# The number of the system call `socket`.
SOCKET = {"x86_64": 41, "aarch64": 198}
AF_NETLINK = 16
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
# Where the filter finds the number of the call and the low half of its first argument, in bytes.
CALL_OFFSET, ARGUMENT_OFFSET = 0, 16


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def refuse_netlink() -> None:
    """Have `socket(AF_NETLINK, …)` fail in this process and in what it executes."""
    instructions = (
        (LOAD_WORD, 0, 0, CALL_OFFSET),
        (JUMP_IF_EQUAL, 0, 3, SOCKET[platform.machine()]),
        (LOAD_WORD, 0, 0, ARGUMENT_OFFSET),
        (JUMP_IF_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(instructions), code)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "Chromium cannot be kept from netlink sockets")


if __name__ == "__main__":
    refuse_netlink()
    os.execv(CHROMIUM, [CHROMIUM, *sys.argv[1:]])  # noqa: S606 - without a shell
