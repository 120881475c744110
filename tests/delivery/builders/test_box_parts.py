"""Rules, filters and groups of the box, each by itself."""

import ipaddress
import struct
import subprocess
from pathlib import Path

import pytest

from dockgate.delivery.builders.sandbox import cgroups, network, seccomp
from dockgate.shared.errors import UnavailableError


def decide(rules: str, address: str) -> str:
    """What a ruleset decides on a connection to the address over another interface than loopback."""
    parsed_address = ipaddress.ip_address(address)
    family = f"ip{'' if parsed_address.version == 4 else '6'} daddr {{ "
    for line in map(str.strip, rules.splitlines()):
        if line.startswith(family):
            members, _, verdict = line.removeprefix(family).partition(" } ")
            if any(parsed_address in ipaddress.ip_network(member) for member in members.split(", ")):
                return verdict
    return "accept"


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("127.0.0.1", "reject"),
        ("10.1.2.3", "reject"),
        ("172.31.0.1", "reject"),
        ("172.32.0.1", "accept"),
        ("192.168.1.1", "reject"),
        ("169.254.169.254", "reject"),
        ("169.254.1.1", "reject"),  # but for port 53, by a rule above
        ("100.100.100.200", "reject"),
        ("0.0.0.1", "reject"),
        ("255.255.255.255", "reject"),
        ("239.1.1.1", "reject"),
        ("198.18.0.1", "reject"),
        ("203.0.113.7", "accept"),
        ("8.8.8.8", "accept"),
        ("::1", "reject"),
        ("::ffff:8.8.8.8", "reject"),
        ("64:ff9b::7f00:1", "reject"),
        ("2002:7f00:1::", "reject"),
        ("fd00:ec2::254", "reject"),
        ("fe80::1", "reject"),
        ("ff02::1", "reject"),
        ("2606:4700::1", "accept"),
        ("192.0.2.9", "reject"),
        ("10.9.0.5", "accept"),
        ("10.9.0.1", "reject"),
        ("1.1.1.1", "reject"),
    ],
)
def test_rules_close_private_own_and_blocked_addresses(address: str, verdict: str) -> None:
    rules = network.make_rules(
        ["192.0.2.9", "10.9.0.1"], allowed_networks=["10.9.0.0/16"], blocked_networks=["1.1.1.0/24", "198.18.0.0/15"]
    )
    assert decide(rules, address) == verdict


@pytest.mark.real
def test_nftables_takes_the_rules() -> None:
    rules = network.make_rules(
        network.list_host_addresses(), ["10.0.0.0/8", "10.1.0.0/16", "fd00::1"], ["1.1.1.1", "1.1.1.1/32"]
    )
    command = ["unshare", "--net", "nft", "--check", "-f", "-"]
    result = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_addresses_of_the_host_are_all_but_loopback(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/fib_trie").write_text(
        "Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 192.0.2.7\n     /32 host LOCAL\n  |-- 192.0.2.255\n"
        "     /32 link BROADCAST\n"
    )
    (tmp_path / "net/if_inet6").write_text(
        "00000000000000000000000000000001 01 80 10 80 lo\nfd000000000000000000000000000002 04 40 00 80 eth0\n"
    )
    assert network.list_host_addresses(tmp_path) == ["192.0.2.7", "fd00::2"]


def test_a_proxy_with_a_password_is_not_passed_to_builds() -> None:
    environment = {
        "http_proxy": "http://proxy:3128",
        "HTTPS_PROXY": "http://ada:secret@proxy:3128",
        "NO_PROXY": "localhost",
        "DOCKGATE_TOKEN": "secret",
    }
    assert network.select_proxies(environment) == {"http_proxy": "http://proxy:3128", "NO_PROXY": "localhost"}


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
def test_the_filter_refuses_its_calls_and_strange_sockets_alone(machine: str) -> None:
    arch, sockets, calls = seccomp.MACHINES[machine]
    program = seccomp.make_program(machine)

    def is_call_allowed(number: int, argument: int = 0, machine_code: int = arch) -> bool:
        """Interprets classic BPF, as far as the filter uses it."""
        code = [struct.unpack_from("=HBBI", program, start) for start in range(0, len(program), 8)]
        at, value = 0, 0
        while True:
            operation, true, false, operand = code[at]
            at += 1
            if operation == 0x20:
                value = {0: number, 4: machine_code, 16: argument}[operand]
            elif operation == 0x15:
                at += true if value == operand else false
            elif operation == 0x35:
                at += true if value >= operand else false
            else:
                return bool(operand == 0x7FFF0000)

    for number in range(500):
        assert is_call_allowed(number) == (number not in calls.values())
    assert [family for family in range(64) if is_call_allowed(sockets, family)] == [0, 1, 2, 10, 16]
    assert not is_call_allowed(0, machine_code=0x40000003), "32-bit calls have other numbers"
    assert not is_call_allowed(0x40000000 + 1), "x32 has other numbers"


def test_limits_are_written_to_both_hierarchies_of_version_1(tmp_path: Path) -> None:
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text("")
    memory, pids = cgroups.make("group", 1000, 10, tmp_path)
    assert (memory / "memory.limit_in_bytes").read_text() == "1000"
    assert (pids / "pids.max").read_text() == "10"
    assert cgroups.find_missing_controllers(tmp_path) == []


def test_limits_are_written_to_the_group_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (group,) = cgroups.make("group", 1000, 10, tmp_path)
    values = {path.name: path.read_text() for path in group.iterdir()}
    assert values == {"memory.max": "1000", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "10"}
    assert cgroups.find_missing_controllers(tmp_path) == []


def test_a_host_without_a_controller_limits_nothing(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    assert cgroups.find_missing_controllers(tmp_path) == ["memory", "pids"]
    with pytest.raises(UnavailableError, match="cannot limit builds"):
        cgroups.make("group", 1000, 10, tmp_path / "nothing")
