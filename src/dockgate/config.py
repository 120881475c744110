"""Settings: the environment variables, read once, as one frozen value.

docs/reference/settings.md describes them. Standard library only, and no data classes, since every scan imports this
module: a data class takes ten times as long to make as a named tuple.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dockgate.shared.errors import UsageError
from dockgate.shared.host_port import HostPort

# `DOCKGATE_FEED_<NAME>` is the URL of the feed of that name, in upper case.
FEED_PREFIX = "DOCKGATE_FEED_"
# The file beside the tables whose key encrypts the secrets in them.
KEY_FILE = "secrets.key"
# Bytes.
DEFAULT_PUSH_LIMIT = 1 << 30
DEFAULT_BLOBS_LIMIT = 20 << 30
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class DiskLimits(NamedTuple):
    """The most bytes that the server keeps: of all artifacts, of the log of one action, of all logs."""

    artifacts: int = DEFAULT_BLOBS_LIMIT
    log: int = 16 << 20
    logs: int = 2 << 30


class FeedUpdateSettings(NamedTuple):
    """The feeds that the server fetches by itself, and how often.

    `mode` is "on", "off", or "auto": all but those of a database that was built from a folder or imported. `periods`
    are seconds by feed, 0 for never; other feeds have their own.
    """

    mode: str = "auto"
    periods: tuple[tuple[str, float], ...] = ()


class OidcSettings(NamedTuple):
    """Sign-in by OpenID Connect.

    `roles` are pairs of a group of the provider and the role that its members have. The client's secret is in a file or
    in the environment; a public client has none.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    client_secret_file: Path | None = None
    groups_claim: str = "groups"
    name_claim: str = "email"
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    roles: tuple[tuple[str, str], ...] = ()


class Settings(NamedTuple):
    """The settings of a process. None: not set.

    `feeds` has the names (in lower case) and URLs of the feeds that the environment names.
    `push_limit` is in bytes, `build_memory`, `build_disk` and `task_memory` (0: no limit) in GiB, `build_log` in MiB.
    """

    data: Path
    cache: Path
    server: str = "http://127.0.0.1:7420"
    token: str | None = None
    host: str = "127.0.0.1"
    port: int = 7420
    registry_port: int = 7421
    push_limit: int = DEFAULT_PUSH_LIMIT
    registry_listen: HostPort | None = None
    registry_push: tuple[str, ...] = ()
    registry_storage: str | None = None
    disk_limits: DiskLimits = DiskLimits()
    database_url: str | None = None
    shared_folder: Path | None = None
    blobs: str | None = None
    ca_bundle: Path | None = None
    risk_days: float = 14
    risk_notice_days: float = 1
    recovery_days: float = 1
    keep_days: float = 90
    keep_images: int = 10
    keep_revisions: int = 10
    gc_hours: float = 0
    rescans_per_minute: float = 10
    waiver_notice_days: float = 7
    attestation_days: float = 3
    registries: tuple[str, ...] = ()
    callback_hosts: tuple[str, ...] = ()
    feeds: tuple[tuple[str, str], ...] = ()
    updates: FeedUpdateSettings = FeedUpdateSettings()
    public_url: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxies: tuple[str, ...] = ()
    oidc: OidcSettings | None = None
    event_bus: str | None = None
    sns_topic: str | None = None
    ecr_queue: str | None = None
    approval_queue: str | None = None
    inspector: tuple[str, ...] = ()
    build_minutes: float = 60
    build_memory: float = 4
    build_processes: int = 4096
    build_disk: float = 20
    build_log: float = 16
    build_allow: tuple[str, ...] = ()
    build_block: tuple[str, ...] = ()
    can_build_unsafely: bool = False
    task_memory: float = 4

    @property
    def shared_data(self) -> Path:
        """The folder that all servers and workers of one database see.

        It is the data folder where there is one server.
        """
        return self.shared_folder or self.data

    @property
    def registry_address(self) -> str:
        """The address of our own registry, on loopback."""
        from dockgate.shared.addresses import LOOPBACK

        return f"{LOOPBACK}:{self.registry_port}"

    @property
    def registry_names(self) -> tuple[str, ...]:
        """The address of our own registry, and the name by which other machines reach it, if they do.

        That is the public URL's host with the port of the registry for others.
        """
        if self.registry_listen is None or self.public_url is None:
            return (self.registry_address,)
        from urllib.parse import urlsplit

        public_host = urlsplit(self.public_url).hostname or self.registry_listen.host
        return self.registry_address, str(HostPort(public_host, self.registry_listen.port))

    @property
    def advisories(self) -> Path:
        """The advisory database."""
        return self.shared_data / "advisories.db"


_DEFAULTS = Settings(Path(), Path())


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process. An empty variable counts as not set. Raises UsageError."""
    values = {key: value for key, value in (os.environ if environment is None else environment).items() if value}
    port = _read_whole_number(values, "DOCKGATE_PORT", _DEFAULTS.port)
    home = Path(values.get("HOME") or Path.home())
    data, cache = home / ".local/share/dockgate", home / ".cache/dockgate"
    if os.geteuid() == 0:
        data, cache = Path("/var/lib/dockgate"), Path("/var/cache/dockgate")
    return Settings(
        data=Path(values.get("DOCKGATE_DATA", data)),
        cache=Path(values.get("DOCKGATE_CACHE", cache)),
        server=values.get("DOCKGATE_SERVER", f"http://127.0.0.1:{port}").rstrip("/"),
        token=values.get("DOCKGATE_TOKEN"),
        host=values.get("DOCKGATE_HOST", _DEFAULTS.host),
        port=port,
        registry_port=_read_whole_number(values, "DOCKGATE_REGISTRY_PORT", _DEFAULTS.registry_port),
        push_limit=_read_mebibytes(values, "DOCKGATE_PUSH_LIMIT", _DEFAULTS.push_limit),
        registry_listen=_read_host_port(values, "DOCKGATE_REGISTRY_LISTEN"),
        registry_push=tuple(values.get("DOCKGATE_REGISTRY_PUSH", "").split()),
        registry_storage=values.get("DOCKGATE_REGISTRY_STORAGE"),
        disk_limits=DiskLimits(
            artifacts=_read_mebibytes(values, "DOCKGATE_BLOBS_LIMIT", _DEFAULTS.disk_limits.artifacts),
            log=_read_mebibytes(values, "DOCKGATE_LOG_LIMIT", _DEFAULTS.disk_limits.log),
            logs=_read_mebibytes(values, "DOCKGATE_LOGS_LIMIT", _DEFAULTS.disk_limits.logs),
        ),
        database_url=values.get("DOCKGATE_DATABASE_URL"),
        shared_folder=_read_path(values, "DOCKGATE_SHARED"),
        blobs=values.get("DOCKGATE_BLOBS"),
        ca_bundle=_read_path(values, "DOCKGATE_CA_BUNDLE"),
        risk_days=_read_number(values, "DOCKGATE_RISK_DAYS", _DEFAULTS.risk_days, is_days=True),
        risk_notice_days=_read_number(values, "DOCKGATE_RISK_NOTICE_DAYS", _DEFAULTS.risk_notice_days, is_days=True),
        recovery_days=_read_number(values, "DOCKGATE_RECOVERY_DAYS", _DEFAULTS.recovery_days, is_days=True),
        attestation_days=_read_number(values, "DOCKGATE_ATTESTATION_DAYS", _DEFAULTS.attestation_days, is_days=True),
        keep_days=_read_number(values, "DOCKGATE_KEEP_DAYS", _DEFAULTS.keep_days, is_days=True),
        keep_images=_read_whole_number(values, "DOCKGATE_KEEP_IMAGES", _DEFAULTS.keep_images),
        keep_revisions=_read_whole_number(values, "DOCKGATE_KEEP_REVISIONS", _DEFAULTS.keep_revisions),
        gc_hours=_read_number(values, "DOCKGATE_GC_HOURS", _DEFAULTS.gc_hours, is_days=True),
        rescans_per_minute=_read_number(values, "DOCKGATE_RESCANS", _DEFAULTS.rescans_per_minute, can_be_zero=True),
        waiver_notice_days=_read_number(
            values, "DOCKGATE_WAIVER_NOTICE_DAYS", _DEFAULTS.waiver_notice_days, is_days=True
        ),
        oidc=_read_oidc(values),
        event_bus=values.get("DOCKGATE_EVENT_BUS"),
        sns_topic=values.get("DOCKGATE_SNS_TOPIC"),
        ecr_queue=values.get("DOCKGATE_ECR_QUEUE"),
        approval_queue=values.get("DOCKGATE_APPROVAL_QUEUE"),
        inspector=tuple(values.get("DOCKGATE_INSPECTOR", "").split()),
        registries=tuple(values.get("DOCKGATE_REGISTRIES", "").split()),
        callback_hosts=tuple(values.get("DOCKGATE_CALLBACK_HOSTS", "").split()),
        feeds=tuple(
            (key.removeprefix(FEED_PREFIX).lower(), url.rstrip("/"))
            for key, url in sorted(values.items())
            if key.startswith(FEED_PREFIX)
        ),
        updates=_read_feed_updates(values, "DOCKGATE_UPDATES"),
        public_url=_read_url(values, "DOCKGATE_PUBLIC_URL"),
        tls_cert=_read_path(values, "DOCKGATE_TLS_CERT"),
        tls_key=_read_path(values, "DOCKGATE_TLS_KEY"),
        build_minutes=_read_number(values, "DOCKGATE_BUILD_MINUTES", _DEFAULTS.build_minutes),
        build_memory=_read_number(values, "DOCKGATE_BUILD_MEMORY", _DEFAULTS.build_memory),
        build_processes=int(_read_number(values, "DOCKGATE_BUILD_PROCESSES", _DEFAULTS.build_processes)),
        build_disk=_read_number(values, "DOCKGATE_BUILD_DISK", _DEFAULTS.build_disk),
        build_log=_read_number(values, "DOCKGATE_BUILD_LOG", _DEFAULTS.build_log),
        build_allow=_read_networks(values, "DOCKGATE_BUILD_ALLOW"),
        build_block=_read_networks(values, "DOCKGATE_BUILD_BLOCK"),
        can_build_unsafely=_is_set(values, "DOCKGATE_UNSAFE_BUILDS"),
        task_memory=_read_number(values, "DOCKGATE_TASK_MEMORY", _DEFAULTS.task_memory, can_be_zero=True),
        proxies=tuple(values.get("DOCKGATE_TRUSTED_PROXIES", "").replace(",", " ").split()),
    )


def _read_feed_updates(values: Mapping[str, str], name: str) -> FeedUpdateSettings:
    """Return a mode and periods: "on osv=30m kev=off"."""
    mode, periods = FeedUpdateSettings().mode, {}
    for word in values.get(name, "").split():
        feed, equals, text = word.partition("=")
        if not equals and word in ("on", "off", "auto"):
            mode = word
            continue
        number, unit = text[:-1], text[-1:]
        is_period = number.isdecimal() and 0 < len(number) < 7 and int(number) > 0 and unit in _SECONDS
        if not feed or not (is_period or text == "off"):
            advice = "Write on, off or auto, and a period for a feed, such as osv=30m epss=12h cvss=off."
            raise UsageError(f"{name} has {word!r}", advice)
        periods[feed] = 0.0 if text == "off" else int(number) * _SECONDS[unit]
    return FeedUpdateSettings(mode, tuple(sorted(periods.items())))


def _read_oidc(values: Mapping[str, str]) -> OidcSettings | None:
    """Return the identity provider: None if no issuer is set."""
    issuer = values.get("DOCKGATE_OIDC_ISSUER")
    if issuer is None:
        return None
    from urllib.parse import unquote, urlsplit  # a scan does not need these

    from dockgate.shared.addresses import is_loopback

    parts = urlsplit(issuer)
    is_local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or is_local) or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"DOCKGATE_OIDC_ISSUER is {issuer!r}", "Set it to the provider's issuer: https://id.example.org"
        )
    client_id = values.get("DOCKGATE_OIDC_CLIENT_ID")
    if client_id is None:
        raise UsageError("DOCKGATE_OIDC_CLIENT_ID is not set", "Set it to the id of the client at the provider.")
    secret, file = values.get("DOCKGATE_OIDC_CLIENT_SECRET"), _read_path(values, "DOCKGATE_OIDC_CLIENT_SECRET_FILE")
    if secret is not None and file is not None:
        raise UsageError(
            "DOCKGATE_OIDC_CLIENT_SECRET and DOCKGATE_OIDC_CLIENT_SECRET_FILE are both set", "Omit the first."
        )
    roles = []
    for word in values.get("DOCKGATE_OIDC_ROLES", "").split():
        group, _, role = word.rpartition("=")
        if not group or not role:
            advice = "Write GROUP=ROLE, with %20 for a blank in a group's name: platform=admin developers=developer"
            raise UsageError(f"DOCKGATE_OIDC_ROLES has {word!r}", advice)
        roles.append((unquote(group), role))
    if not roles:
        raise UsageError(
            "DOCKGATE_OIDC_ROLES is not set",
            "No one could sign in: give a group a role, such as platform=admin.",
        )
    defaults = OidcSettings("", "")
    scopes = tuple(values.get("DOCKGATE_OIDC_SCOPES", " ".join(defaults.scopes)).split())
    return OidcSettings(
        issuer,
        client_id,
        secret,
        file,
        values.get("DOCKGATE_OIDC_GROUPS_CLAIM", defaults.groups_claim),
        values.get("DOCKGATE_OIDC_NAME_CLAIM", defaults.name_claim),
        scopes if "openid" in scopes else ("openid", *scopes),
        tuple(roles),
    )


def _read_path(values: Mapping[str, str], name: str) -> Path | None:
    return Path(values[name]) if name in values else None


def _read_host_port(values: Mapping[str, str], name: str) -> HostPort | None:
    if name not in values:
        return None
    host_port = HostPort.parse(values[name])
    if host_port is None:
        raise UsageError(f"{name} is {values[name]!r}", "Set it to HOST:PORT, such as 0.0.0.0:7422.")
    return host_port


def _read_url(values: Mapping[str, str], name: str) -> str | None:
    """Return a URL without a path and a trailing slash."""
    url = values.get(name, "").rstrip("/")
    if not url:
        return None
    from urllib.parse import urlsplit  # a scan does not need it

    parts = urlsplit(url)
    if "@" in parts.netloc:  # links to the server would have it
        raise UsageError(f"{name} has a user or a password", "Set it to scheme, host and port alone.")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise UsageError(f"{name} is {url!r}", "Set it to scheme, host and port alone: https://gate.example.org")
    return url


def _read_whole_number(values: Mapping[str, str], name: str, default: int, maximum: int = 65535) -> int:
    """Return a number from 1 to `maximum`; by default a port."""
    text = values.get(name, str(default))
    if not text.isdecimal() or not 0 < int(text) <= maximum:
        raise UsageError(f"{name} is {text!r}", f"Set it to a whole number from 1 to {maximum}.")
    return int(text)


def _read_mebibytes(values: Mapping[str, str], name: str, default: int) -> int:
    """Return a number of MiB, in bytes."""
    return _read_whole_number(values, name, default >> 20, (1 << 30) - 1) << 20


def _read_number(
    values: Mapping[str, str], name: str, default: float, *, is_days: bool = False, can_be_zero: bool = False
) -> float:
    text = values.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = -1
    maximum = 36_500 if is_days else 10**9
    if not (0 <= number < maximum if is_days or can_be_zero else 0 < number < maximum):
        allowed_values = "a number from 0 on" if is_days or can_be_zero else "a positive number"
        raise UsageError(f"{name} is {text!r}", f"Set it to {allowed_values}, such as 14 or 0.5.")
    return number


def _read_networks(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    networks = tuple(values.get(name, "").split())
    if networks:
        import ipaddress  # a scan does not need it
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            advice = "Write 10.0.0.7 or 10.1.0.0/16."
            raise UsageError(f"{name} has {text!r}, which is not an address or a network", advice) from None
    return networks


def _is_set(values: Mapping[str, str], name: str) -> bool:
    text = values.get(name, "0")
    if text not in ("0", "1"):
        raise UsageError(f"{name} is {text!r}", "Set it to 1, or omit it.")
    return text == "1"
