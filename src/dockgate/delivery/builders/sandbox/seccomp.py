"""A filter of system calls that no build needs (seccomp(2)).

Standard library only: it is part of the program `box`. It refuses what namespaces do not separate (keyrings, sockets of
other address families) and calls that were often used to attack the kernel. podman adds a filter of its own for RUN
instructions.
"""

import ctypes
import errno
import os
import struct

# arch/x86/entry/syscalls/syscall_64.tbl.
_X86_64 = {
    "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "kexec_load": 246, "kexec_file_load": 320,
    "init_module": 175, "finit_module": 313, "delete_module": 176, "open_by_handle_at": 304, "quotactl": 179,
    "swapon": 167, "swapoff": 168, "reboot": 169, "acct": 163, "settimeofday": 164, "clock_settime": 227,
    "clock_adjtime": 305, "adjtimex": 159, "iopl": 172, "ioperm": 173, "syslog": 103, "lookup_dcookie": 212,
}  # fmt: skip
# include/uapi/asm-generic/unistd.h.
_AARCH64 = {
    "add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "kexec_load": 104, "kexec_file_load": 294,
    "init_module": 105, "finit_module": 273, "delete_module": 106, "open_by_handle_at": 265, "quotactl": 60,
    "swapon": 224, "swapoff": 225, "reboot": 142, "acct": 89, "settimeofday": 170, "clock_settime": 112,
    "clock_adjtime": 266, "adjtimex": 171, "syslog": 116, "lookup_dcookie": 18,
}  # fmt: skip
# Machine: AUDIT_ARCH (linux/audit.h), the number of socket(2), the calls.
MACHINES = {"x86_64": (0xC000003E, 41, _X86_64), "aarch64": (0xC00000B7, 198, _AARCH64)}
# AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. AF_VSOCK, of the others, reaches the hypervisor.
_FAMILIES = (0, 1, 2, 10, 16)
_X32 = 0x40000000

_LOAD, _EQUAL, _GREATER_OR_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW = 0x7FFF0000
# Programs take it for an old kernel, and do without.
_REFUSE = 0x00050000 | errno.ENOSYS
# Placeholders of jumps, until the instructions that they skip are counted.
_REFUSE_JUMP, _ALLOW_JUMP = -1, -2
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


def make_program(machine: str) -> bytes:
    """Return the filter for a machine, as named by uname(2).

    It refuses calls of other architectures, such as 32-bit programs. Raises LookupError for an unknown machine.
    """
    arch, socket, calls = MACHINES[machine]
    lines = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 0, _REFUSE_JUMP, arch),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER_OR_EQUAL, _REFUSE_JUMP, 0, _X32),
        *((_EQUAL, _REFUSE_JUMP, 0, number) for number in sorted(calls.values())),
        (_EQUAL, 0, _ALLOW_JUMP, socket),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        *((_EQUAL, _ALLOW_JUMP, 0, family) for family in _FAMILIES),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    # A jump is the number of instructions that it skips.
    refuse, allow = len(lines) - 2, len(lines) - 1
    code = b""
    for index, (operation, *jumps, value) in enumerate(lines):
        jump_if_true, jump_if_false = (
            {_REFUSE_JUMP: refuse - index - 1, _ALLOW_JUMP: allow - index - 1}.get(jump, jump) for jump in jumps
        )
        code += struct.pack("=HBBI", operation, jump_if_true, jump_if_false, value)
    return code


def install() -> None:
    """Filter the calls of this process and of all that it starts.

    Needs CAP_SYS_ADMIN in the user namespace. Raises OSError if the kernel refuses, LookupError for an unknown machine.
    """
    code = make_program(os.uname().machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot filter system calls")
