"""docs/how-to/scaling.md: its commands lead from one server to three behind a load balancer.

They run as the page shows them, on hosts that are network namespaces with these names. What has to be another thing
here is in `SUBSTITUTES`.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests import postgres
from tests.parts import wait_until
from tests.scanner.images import make
from tests.scenarios.hosts import Host, read_address
from tests.scenarios.nodes import Network

from dockgate.server import podman_service

pytestmark = [pytest.mark.real, pytest.mark.long]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "scaling.md"
PASSWORD = "a-password-of-the-database"
NODES = ("node1", "node2", "node3")
HOSTS = (*NODES, "node4", "lb", "admin")


def read_blocks() -> list[tuple[str, list[str], str]]:
    """The commands of the page: the section that shows them, the hosts that they are for, and their text."""
    blocks: list[tuple[str, list[str], str]] = []
    for section in re.split(r"(?m)^##+ ", PAGE.read_text())[1:]:
        title = section.partition("\n")[0]
        for language, text in re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", section):
            if language == "sh":
                first, _, commands = text.partition("\n")
                hosts = re.fullmatch(r"# on (.+)", first)
                assert hosts is not None, f"{title}: the first line does not say where the commands run: {first}"
                blocks.append((title, hosts[1].split(", "), commands))
    return blocks


def read_configuration() -> str:
    (text,) = re.findall(r"(?ms)^```haproxy\n(.*?)^```$", PAGE.read_text())
    return str(text)


@dataclass
class Site:
    """The hosts of the page. `token` is ada's."""

    folder: Path
    network: Network
    database: postgres.Cluster
    hosts: dict[str, Host] = field(default_factory=dict)
    token: str = ""

    def substitute(self, text: str, host: Host) -> str:
        substitutes = {
            "sudo -u postgres": f"setpriv --reuid={postgres.USER} --regid={postgres.USER} --clear-groups",
            "sh scripts/install": "true",
            "systemctl reload haproxy": "haproxy -D -f /etc/haproxy/haproxy.cfg",
            "/etc/haproxy": str(self.folder / "haproxy"),
            "/etc/dockgate": str(host.folder / "etc"),
            "/var/lib/dockgate": str(host.folder / "data"),
            "/mnt/dockgate": str(self.folder / "shared"),
            "192.0.2.10": read_address(self.network, str(self.hosts["lb"].space)),
            "PASSWORD": PASSWORD,
            "dgt_…": self.token,
        }
        for page_text, used in substitutes.items():
            text = text.replace(page_text, used)
        return text

    def play(self, section: str, **variables: str) -> list[str]:
        """Run the commands of a section. Returns what they printed."""
        outputs = []
        section_blocks = [(hosts, text) for title, hosts, text in read_blocks() if title == section]
        assert section_blocks, section
        for hosts, text in section_blocks:
            for name in hosts:
                host = self.hosts[name]
                assignments = "".join(f"{key}={value}\n" for key, value in variables.items())
                script = assignments + self.substitute(text, host)
                outputs.append(host.run(script, f"{PASSWORD}\n{PASSWORD}\n"))
        return outputs

    def certify_load_balancer(self) -> None:
        """A certificate for gate.example.org, of an authority that the hosts trust."""
        folder = self.folder / "haproxy"
        folder.mkdir()
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        authority = [
            *new,
            "-subj",
            "/CN=Authority",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            folder / "ca.key",
            "-out",
            folder / "ca.pem",
        ]
        issuer = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-subj", "/CN=gate.example.org"]
        names = ["-addext", "subjectAltName=DNS:gate.example.org", "-addext", "basicConstraints=critical,CA:FALSE"]
        leaf = [*new, *issuer, *names, "-keyout", folder / "key.pem", "-out", folder / "chain.pem"]
        for command in (authority, leaf):
            subprocess.run([str(part) for part in command], check=True, capture_output=True)
        (folder / "gate.pem").write_text((folder / "chain.pem").read_text() + (folder / "key.pem").read_text())
        for name in HOSTS:
            target = self.hosts[name].folder / "etc"
            target.mkdir(parents=True)
            for file in ("chain.pem", "key.pem"):
                (target / file).write_bytes((folder / file).read_bytes())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        database = postgres.Cluster(network.address)
        stack.callback(database.stop)
        rules = database.folder / "data" / "pg_hba.conf"
        rules.write_text("host dockgate dockgate samenet scram-sha-256\n" + rules.read_text())
        database.execute_statement("SELECT pg_reload_conf()")
        site = Site(tmp_path, network, database)
        environment = {
            "PATH": f"{ROOT / '.venv/bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PGPORT": str(database.port),
            "DOCKGATE_CA_BUNDLE": str(tmp_path / "haproxy" / "ca.pem"),
            "GIT_SSL_CAINFO": str(tmp_path / "haproxy" / "ca.pem"),
            "SSL_CERT_FILE": str(tmp_path / "haproxy" / "ca.pem"),
            "DOCKGATE_REGISTRY_PUSH": "base/*",
        }
        site.hosts["db"] = Host("db", tmp_path / "db", None, {**environment, "PGHOST": str(database.folder)})
        for name in HOSTS:
            folder = tmp_path / name
            site.hosts[name] = Host(name, folder, network.add(), {**environment, "DOCKGATE_DATA": str(folder / "data")})
        lines = [f"{network.address} db.example.org", "127.0.0.1 localhost"]
        for name in HOSTS:
            host_name = "gate.example.org" if name == "lb" else f"{name}.example.org"
            lines.append(f"{read_address(network, str(site.hosts[name].space))} {host_name}")
        (tmp_path / "hosts").write_text("\n".join([*lines, ""]))
        site.certify_load_balancer()
        for host in site.hosts.values():
            stack.callback(podman_service.purge, host.folder / "data")
            stack.callback(host.end)
            host.enter(tmp_path / "hosts")
        yield site


def test_each_command_of_the_page_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert not [title for title, _, _ in read_blocks() if f'"{title}"' not in source]


def test_the_page_leads_to_three_servers_and_a_load_balancer(site: Site) -> None:
    node1, admin = site.hosts["node1"], site.hosts["admin"]
    start_output = node1.run(
        "dockgate up --detach\n"
        "printf 'kind: Repository\\nname: shop\\n' > shop.yaml\n"
        "printf 'kind: Target\\nname: hook\\ntype: webhook\\nurl: https://hook.example.org/\\n' > hook.yaml\n"
        "dockgate apply shop.yaml hook.yaml"
    )
    assert "/first-admin?key=" in start_output
    node1.run(
        "git init -q -b main shop && cd shop && git -c user.name=a -c user.email=a@example.org commit -q --allow-empty "
        "-m first && git push -q http://127.0.0.1:7420/git/shop.git main"
    )
    site.play("1. Create the database")
    added_output, copy_output = site.play("2. Move the server to Postgres")
    site.token = added_output.split()[-1]
    assert "compared them: all are the same" in copy_output
    site.play("3. Share the files")
    remaining = {path.name for path in (node1.folder / "data").iterdir()}
    assert remaining <= {"podman", "run", "scratch", *(f"dockgate.db{suffix}" for suffix in ("", "-shm", "-wal"))}
    assert (site.folder / "shared" / "secrets.key").exists()
    assert "/first-admin?key=" not in "".join(site.play("4. Start the servers"))  # ada is one
    (site.folder / "haproxy" / "haproxy.cfg").write_text(site.substitute(read_configuration(), site.hosts["lb"]))
    site.play("5. Balance")
    (result,) = site.play("6. Look at the result")
    assert all(name in result for name in NODES), result
    make.write_image_layout(admin.folder / "image", [{"etc/os-release": b"ID=debian\n", "large": bytes(8 << 20)}])
    admin.run("dockgate registry rotate")  # all servers follow
    require_answers(site)
    before = list_workers(site)
    site.play("Upgrade without downtime")
    assert {name for name, worker in list_workers(site).items() if worker != before[name]} == {"node1"}
    site.hosts["node1"].end()
    require_answers(site)
    require_wrong_tokens_lock_out_their_host(site)
    drain_a_worker(site)
    return_to_one_server(site)


def require_answers(site: Site) -> None:
    """The load balancer finds servers for the API, git and the registry. One that has failed is left out soon."""
    admin = site.hosts["admin"]
    time.sleep(6)  # three checks
    for _ in NODES:
        assert "shop" in admin.run("dockgate repository list")
        admin.run("rm -rf clone && git clone -q https://ada:$DOCKGATE_TOKEN@gate.example.org/git/shop.git clone")
        admin.run(
            "rm -rf pulled\n"
            "skopeo copy -q --dest-creds=ada:$DOCKGATE_TOKEN oci:image docker://gate.example.org:7422/base/app:1\n"
            "skopeo copy -q --src-creds=ada:$DOCKGATE_TOKEN docker://gate.example.org:7422/base/app:1 oci:pulled"
        )


def require_wrong_tokens_lock_out_their_host(site: Site) -> None:
    urls = "-o /dev/null https://gate.example.org/api/v1/status " * 80
    wrong = f"curl -s --cacert $SSL_CERT_FILE -w '%{{http_code}} ' -H 'Authorization: Bearer wrong' {urls}"
    codes = site.hosts["node4"].run(wrong).split()
    assert codes[0] == "401"
    assert codes[-1] == "429"
    site.hosts["admin"].run("dockgate status")


def list_workers(site: Site) -> dict[str, str]:
    """The id of each node's worker."""
    answer = site.hosts["admin"].run(
        'curl -sf --cacert $SSL_CERT_FILE -H "Authorization: Bearer $DOCKGATE_TOKEN" $DOCKGATE_SERVER/api/v1/workers'
    )
    workers_of_site = json.loads(answer)["workers"]
    return {worker["node"]: worker["id"] for worker in workers_of_site}


def drain_a_worker(site: Site) -> None:
    node4 = site.hosts["node4"]
    (node4.folder / "etc" / "settings").write_text((site.hosts["node2"].folder / "etc" / "settings").read_text())
    (node4.folder / ".pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
    (node4.folder / ".pgpass").chmod(0o600)
    ((_, _, command),) = [block for block in read_blocks() if block[0] == "Add workers"]
    process = node4.start(site.substitute(command, node4))

    def has_node4() -> dict[str, str]:
        workers_by_node = list_workers(site)
        return workers_by_node if "node4" in workers_by_node else {}

    workers_by_node = wait_until(lambda: process.poll() is not None or has_node4(), every=1)
    assert isinstance(workers_by_node, dict), (node4.folder / "started.log").read_text()
    drain_commands, remove_commands = [block[2] for block in read_blocks() if block[0] == "Look after workers"]
    admin = site.hosts["admin"]
    admin.run(f"ID={workers_by_node['node4']}\n{drain_commands}")
    assert process.wait(60) == 0
    admin.run(f"ID={workers_by_node['node3']}\n{remove_commands}")
    wait_until(lambda: list_workers(site).keys() <= {"node1", "node2"}, every=3)


def return_to_one_server(site: Site) -> None:
    for name in NODES[1:]:
        site.hosts[name].run("dockgate down")
    site.hosts["node1"].enter(site.folder / "hosts")
    (copy_output,) = site.play("The way back")
    assert "compared them: all are the same" in copy_output
