"""Settings: what the environment says, read once, in one frozen value. Standard library only: scans start here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dockgate.shared.errors import UsageError
from dockgate.shared.limits import DiskLimits

# `DOCKGATE_FEED_<NAME>` is the URL of the feed of that name, in upper case.
FEED_PREFIX = "DOCKGATE_FEED_"


# Bytes.
DEFAULT_PUSH_LIMIT = 1 << 30


class Setting(NamedTuple):
    """One environment variable, as it is documented. `default` is text for people."""

    name: str
    default: str
    meaning: str


# Every variable that is read, in the order of the documentation.
SETTINGS = (
    Setting(
        "DOCKGATE_DATA",
        "/var/lib/dockgate for root, ~/.local/share/dockgate for others",
        "The folder of the advisory database and of all that a server keeps.",
    ),
    Setting(
        "DOCKGATE_CACHE",
        "/var/cache/dockgate for root, ~/.cache/dockgate for others",
        "The folder that remembers what layers and images hold. It may be deleted at any time.",
    ),
    Setting("DOCKGATE_SERVER", "http://127.0.0.1:7420", "The server that the commands speak to."),
    Setting("DOCKGATE_TOKEN", "", "Sent to the server as a bearer token."),
    Setting(
        "DOCKGATE_HOST",
        "127.0.0.1",
        "The address that `dockgate up` listens on. Beyond loopback it needs a principal, DOCKGATE_PUBLIC_URL, and "
        "TLS or a trusted proxy.",
    ),
    Setting("DOCKGATE_PORT", "7420", "The port of `dockgate up`: API, console and git."),
    Setting(
        "DOCKGATE_PUBLIC_URL",
        "where it listens",
        "What others call the server by, such as https://gate.example.org: for clone URLs, and for which names "
        "and pages it answers to.",
    ),
    Setting("DOCKGATE_TLS_CERT", "", "A PEM file with the server's certificate and its chain. With it TLS is spoken."),
    Setting("DOCKGATE_TLS_KEY", "", "A PEM file with the certificate's key, without a passphrase."),
    Setting(
        "DOCKGATE_TRUSTED_PROXIES",
        "",
        "Addresses or networks, with commas between, of the proxies that end TLS: of these alone X-Forwarded-For and "
        "X-Forwarded-Proto are believed.",
    ),
    Setting("DOCKGATE_REGISTRY_PORT", "7421", "The port of the local registry of `dockgate up`, on loopback."),
    Setting("DOCKGATE_PUSH_LIMIT", "1024", "How many MiB one `git push` may send."),
    Setting(
        "DOCKGATE_REGISTRY_LISTEN",
        "loopback only",
        "HOST:PORT at which the registry listens for other machines too, such as 0.0.0.0:7422. Beyond loopback it "
        "needs DOCKGATE_TLS_CERT and DOCKGATE_TLS_KEY. Clients get their tokens from DOCKGATE_PUBLIC_URL.",
    ),
    Setting(
        "DOCKGATE_REGISTRY_PUSH",
        "none",
        "Repositories of the local registry, separated by spaces, that developers may push to with `docker push` or "
        "`podman push`; `team/*` stands for many. Never includes a repository that a pipeline builds.",
    ),
    Setting(
        "DOCKGATE_BLOBS_LIMIT",
        "20480",
        "How many MiB artifacts may use in DOCKGATE_DATA. Beyond that, actions that keep an artifact fail.",
    ),
    Setting("DOCKGATE_LOG_LIMIT", "16", "How many MiB of what one action prints are kept."),
    Setting(
        "DOCKGATE_LOGS_LIMIT",
        "2048",
        "How many MiB the logs of all actions may use. Beyond that, those of the oldest executions are deleted, none "
        "of the last day.",
    ),
    Setting("DOCKGATE_DATABASE_URL", "SQLite in DOCKGATE_DATA", "The server's database, as an SQLAlchemy URL."),
    Setting(
        "DOCKGATE_BLOBS",
        "DOCKGATE_DATA",
        "Where the server keeps artifacts (sources, image definitions): s3://BUCKET/PREFIX, in Amazon S3.",
    ),
    Setting(
        "DOCKGATE_CA_BUNDLE",
        "the system's certificates",
        "A PEM file of the certificate authorities to trust, for registries, feeds and the server.",
    ),
    Setting("DOCKGATE_RISK_DAYS", "14", "How many days a running image may stay at risk after a new advisory."),
    Setting("DOCKGATE_WAIVER_NOTICE_DAYS", "7", "How many days before a waiver lapses the notifiers announce it."),
    Setting(
        "DOCKGATE_ATTESTATION_DAYS", "30", "How many days an approval's attestation is good for, from its verdict on."
    ),
    Setting(
        "DOCKGATE_KEEP_DAYS",
        "90",
        "How many days settled approvals, handled events and notices are kept; notices for 2 at least.",
    ),
    Setting(
        "DOCKGATE_REGISTRIES",
        "any",
        "Hosts of registries, with or without a port, separated by spaces, that the server reads images and leaves "
        "attestations in besides its own; `*.example.org` stands for many.",
    ),
    Setting("DOCKGATE_BUILD_MINUTES", "60", "How many minutes a build may take."),
    Setting("DOCKGATE_BUILD_MEMORY", "4", "How many GiB of memory a build may use."),
    Setting("DOCKGATE_BUILD_PROCESSES", "4096", "How many processes and threads a build may have at once."),
    Setting(
        "DOCKGATE_BUILD_DISK",
        "20",
        "How many GiB of disk a build may use, together with the layers that earlier builds of its repository left.",
    ),
    Setting("DOCKGATE_BUILD_LOG", "16", "How many MiB of log a build may write."),
    Setting(
        "DOCKGATE_BUILD_ALLOW",
        "",
        "Private addresses or networks, separated by spaces, that builds may reach: a proxy or a mirror of packages. "
        "The host's own addresses stay closed.",
    ),
    Setting(
        "DOCKGATE_BUILD_BLOCK", "", "Public addresses or networks, separated by spaces, that builds may not reach."
    ),
    Setting(
        "DOCKGATE_UNSAFE_BUILDS",
        "",
        "1 runs builds as root on the host, without a sandbox: everyone who can push is root on this machine.",
    ),
    Setting(
        "DOCKGATE_CALLBACK_HOSTS",
        "any",
        "Host names, separated by spaces, that answers may be sent to by callback; `*.example.org` stands for many.",
    ),
    Setting(
        "DOCKGATE_FEED_OSV",
        "the public export of osv.dev",
        "Base URL of the OSV feed: `<base>/<ECOSYSTEM>/all.zip` is fetched from there; later only the records that "
        "changed, where there is a `modified_id.csv`.",
    ),
    Setting(
        "DOCKGATE_FEED_AMAZON",
        "Amazon's repositories",
        "Base URL of Amazon Linux's repositories, whose mirror lists name the update information.",
    ),
    Setting("DOCKGATE_FEED_KEV", "CISA's catalogue", "URL of the catalogue of known exploited vulnerabilities."),
    Setting(
        "DOCKGATE_FEED_EPSS", "FIRST's scores of the day", "URL of EPSS scores, in the layout of FIRST's CSV file."
    ),
    Setting("DOCKGATE_FEED_CVSS", "", "URL of a table of CVSS vectors by CVE, in the layout of `cvss.csv.gz`."),
    Setting("DOCKGATE_EVENT_BUS", "", "The ARN of a bus of Amazon EventBridge that gets every notice, as an event."),
    Setting("DOCKGATE_SNS_TOPIC", "", "The ARN of a topic of Amazon SNS that gets every notice, as a message."),
    Setting(
        "DOCKGATE_ECR_QUEUE",
        "",
        "The ARN of a queue of Amazon SQS that gets Amazon ECR's events (`ECR Image Action`): each push starts a scan.",
    ),
    Setting(
        "DOCKGATE_APPROVAL_QUEUE",
        "",
        "The ARN of a queue of Amazon SQS that gets what approval actions of AWS CodePipeline ask: the server answers "
        "them.",
    ),
    Setting(
        "DOCKGATE_INSPECTOR",
        "",
        "Repositories of Amazon ECR, separated by spaces, whose images the server does not scan, but asks Amazon "
        "Inspector about; `*.dkr.ecr.eu-west-1.amazonaws.com/*` stands for many.",
    ),
    Setting("DOCKGATE_DEBUG", "", "1 prints the traceback of an unexpected failure."),
)


@dataclass(frozen=True)
class Settings:
    """`feeds` maps a feed's name in lower case to its URL, for those that the environment names.

    `database_url`, `blobs`, `token`, `public_url`, `event_bus`, `sns_topic`, `ecr_queue` and `approval_queue` are ""
    where not set; `ca_bundle`, `tls_cert`, `tls_key` and `registry_listen` (host and port) are None. `push_limit` is in
    bytes.
    """

    data: Path
    cache: Path
    server: str = "http://127.0.0.1:7420"
    token: str = ""
    host: str = "127.0.0.1"
    port: int = 7420
    registry_port: int = 7421
    push_limit: int = DEFAULT_PUSH_LIMIT
    registry_listen: tuple[str, int] | None = None
    registry_push: tuple[str, ...] = ()
    disk_limits: DiskLimits = field(default_factory=DiskLimits)
    database_url: str = ""
    blobs: str = ""
    ca_bundle: Path | None = None
    risk_days: float = 14
    keep_days: float = 90
    waiver_notice_days: float = 7
    attestation_days: float = 30
    registries: tuple[str, ...] = ()
    callback_hosts: tuple[str, ...] = ()
    feeds: tuple[tuple[str, str], ...] = ()
    public_url: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[str, ...] = ()
    event_bus: str = ""
    sns_topic: str = ""
    ecr_queue: str = ""
    approval_queue: str = ""
    inspector: tuple[str, ...] = ()
    build_minutes: float = 60
    build_memory: float = 4
    build_processes: int = 4096
    build_disk: float = 20
    build_log: float = 16
    build_allow: tuple[str, ...] = ()
    build_block: tuple[str, ...] = ()
    unsafe_builds: bool = False

    @property
    def advisories(self) -> Path:
        """The advisory database."""
        return self.data / "advisories.db"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. A variable that is set to nothing counts as not set. Raises UsageError."""
    values = {key: value for key, value in (os.environ if environment is None else environment).items() if value}
    root = os.geteuid() == 0
    home = Path(values.get("HOME") or Path.home())
    return Settings(
        data=Path(values.get("DOCKGATE_DATA") or ("/var/lib/dockgate" if root else home / ".local/share/dockgate")),
        cache=Path(values.get("DOCKGATE_CACHE") or ("/var/cache/dockgate" if root else home / ".cache/dockgate")),
        server=values.get("DOCKGATE_SERVER", Settings.server).rstrip("/"),
        token=values.get("DOCKGATE_TOKEN", ""),
        host=values.get("DOCKGATE_HOST", Settings.host),
        port=_port(values, "DOCKGATE_PORT", Settings.port),
        registry_port=_port(values, "DOCKGATE_REGISTRY_PORT", Settings.registry_port),
        push_limit=_mebibytes(values, "DOCKGATE_PUSH_LIMIT", Settings.push_limit),
        registry_listen=_address(values, "DOCKGATE_REGISTRY_LISTEN"),
        registry_push=tuple(values.get("DOCKGATE_REGISTRY_PUSH", "").split()),
        disk_limits=DiskLimits(
            artifacts=_mebibytes(values, "DOCKGATE_BLOBS_LIMIT", DiskLimits().artifacts),
            log=_mebibytes(values, "DOCKGATE_LOG_LIMIT", DiskLimits().log),
            logs=_mebibytes(values, "DOCKGATE_LOGS_LIMIT", DiskLimits().logs),
        ),
        database_url=values.get("DOCKGATE_DATABASE_URL", ""),
        blobs=values.get("DOCKGATE_BLOBS", ""),
        ca_bundle=_path(values, "DOCKGATE_CA_BUNDLE"),
        risk_days=_days(values, "DOCKGATE_RISK_DAYS", Settings.risk_days),
        attestation_days=_days(values, "DOCKGATE_ATTESTATION_DAYS", Settings.attestation_days),
        keep_days=_days(values, "DOCKGATE_KEEP_DAYS", Settings.keep_days),
        waiver_notice_days=_days(values, "DOCKGATE_WAIVER_NOTICE_DAYS", Settings.waiver_notice_days),
        event_bus=values.get("DOCKGATE_EVENT_BUS", ""),
        sns_topic=values.get("DOCKGATE_SNS_TOPIC", ""),
        ecr_queue=values.get("DOCKGATE_ECR_QUEUE", ""),
        approval_queue=values.get("DOCKGATE_APPROVAL_QUEUE", ""),
        inspector=tuple(values.get("DOCKGATE_INSPECTOR", "").split()),
        registries=tuple(values.get("DOCKGATE_REGISTRIES", "").split()),
        callback_hosts=tuple(values.get("DOCKGATE_CALLBACK_HOSTS", "").split()),
        feeds=tuple(
            (key.removeprefix(FEED_PREFIX).lower(), url.rstrip("/"))
            for key, url in sorted(values.items())
            if key.startswith(FEED_PREFIX)
        ),
        public_url=_url(values, "DOCKGATE_PUBLIC_URL"),
        tls_cert=_path(values, "DOCKGATE_TLS_CERT"),
        tls_key=_path(values, "DOCKGATE_TLS_KEY"),
        build_minutes=_number(values, "DOCKGATE_BUILD_MINUTES", Settings.build_minutes),
        build_memory=_number(values, "DOCKGATE_BUILD_MEMORY", Settings.build_memory),
        build_processes=int(_number(values, "DOCKGATE_BUILD_PROCESSES", Settings.build_processes)),
        build_disk=_number(values, "DOCKGATE_BUILD_DISK", Settings.build_disk),
        build_log=_number(values, "DOCKGATE_BUILD_LOG", Settings.build_log),
        build_allow=_networks(values, "DOCKGATE_BUILD_ALLOW"),
        build_block=_networks(values, "DOCKGATE_BUILD_BLOCK"),
        unsafe_builds=_is_set(values, "DOCKGATE_UNSAFE_BUILDS"),
        proxies=tuple(
            proxy.strip() for proxy in values.get("DOCKGATE_TRUSTED_PROXIES", "").split(",") if proxy.strip()
        ),
    )


def _path(values: Mapping[str, str], name: str) -> Path | None:
    return Path(values[name]) if name in values else None


def _address(values: Mapping[str, str], name: str) -> tuple[str, int] | None:
    """Host and port; an IPv6 address stays in its brackets."""
    if name not in values:
        return None
    host, _, port = values[name].rpartition(":")
    is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or is_bare_ipv6 or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{name} is {values[name]!r}", "Set it to HOST:PORT, such as 0.0.0.0:7422.")
    return host, int(port)


def _url(values: Mapping[str, str], name: str) -> str:
    """Without a slash at its end; "" where not set."""
    url = values.get(name, "").rstrip("/")
    if not url:
        return ""
    from urllib.parse import urlsplit  # not for nothing: a scan has to start at once

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise UsageError(f"{name} is {url!r}", "Set it to scheme, host and port alone: https://gate.example.org")
    return url


def _port(values: Mapping[str, str], name: str, default: int) -> int:
    text = values.get(name, str(default))
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise UsageError(f"{name} is {text!r}, which is no port.", "Set it to a number from 1 to 65535.")
    return int(text)


def _mebibytes(values: Mapping[str, str], name: str, default: int) -> int:
    """In bytes."""
    text = values.get(name, str(default >> 20))
    if not text.isdecimal() or not 0 < int(text) < 1 << 30:
        raise UsageError(f"{name} is {text!r}, which is no number of MiB.", "Set it to a whole number from 1 on.")
    return int(text) << 20


def _days(values: Mapping[str, str], name: str, default: float) -> float:
    text = values.get(name, str(default))
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not 0 <= days < 36_500:
        raise UsageError(f"{name} is {text!r}, which is no number of days.", "Set it to a number such as 14 or 0.5.")
    return days


def _number(values: Mapping[str, str], name: str, default: float) -> float:
    """A positive number. Raises UsageError."""
    text = values.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < 10**9:
        raise UsageError(f"{name} is {text!r}, which is not a positive number.", "Set it to a number such as 8 or 0.5.")
    return number


def _networks(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Addresses or networks. Raises UsageError."""
    networks = tuple(values.get(name, "").split())
    if not networks:
        return ()
    import ipaddress  # a scan does without

    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise UsageError(
                f"{name} has {text!r}, which is not an address or a network.", "Write 10.0.0.7 or 10.1.0.0/16."
            ) from None
    return networks


def _is_set(values: Mapping[str, str], name: str) -> bool:
    """Whether it is 1. Raises UsageError for what is neither 1 nor 0."""
    text = values.get(name, "0")
    if text not in ("0", "1"):
        raise UsageError(f"{name} is {text!r}.", "Set it to 1, or leave it out.")
    return text == "1"
