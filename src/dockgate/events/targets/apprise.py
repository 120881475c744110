"""E-mail, chats and pagers, through the library apprise in a process of its own.

The library has a hundred services, and each opens its connections itself. So it runs in a child process that ends after
a time, has little memory, and refuses every connection, file and program that a notification does not need
(`_apprise_child`). The URL goes to it by standard input, so that no list of processes shows it.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.events.targets._refusals import refuse_for_usage_errors
from dockgate.shared.errors import UnavailableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.wording import replace_surrogates, shorten_text, to_one_line

CHILD = "dockgate.events.targets._apprise_child"
SECONDS = 30.0
TITLE_LIMIT, TEXT_LIMIT = 250, 20_000  # characters
_ANSWER_LIMIT = 4000  # characters

# Services that are reached over a network. Those that talk to this machine (desktop, syslog), run something, or send to
# any URL are not here: for those there are webhooks.
SCHEMES = frozenset(
    (
        *("mailto", "mailtos", "mailgun", "mailersend", "postmark", "resend", "sendgrid", "sparkpost", "brevo", "ses"),
        *(
            "slack",
            "discord",
            "msteams",
            "workflow",
            "workflows",
            "gchat",
            "wxteams",
            "webex",
            "zulip",
            "zoom",
            "twist",
        ),
        *("matrix", "matrixs", "mmost", "mmosts", "rocket", "rockets", "nctalk", "nctalks", "ncloud", "nclouds"),
        *(
            "tgram",
            "signal",
            "signals",
            "whatsapp",
            "threema",
            "line",
            "viber",
            "groupme",
            "guilded",
            "revolt",
            "ryver",
        ),
        *("dingtalk", "feishu", "lark", "wecom", "wecombot", "flock", "cliq", "zcliq", "zohocliq", "synology"),
        *("pagerduty", "opsgenie", "splunk", "victorops", "squadcast", "pagertree", "ilert", "incidentio", "xmatters"),
        *("goalert", "goalerts", "firehydrant", "betterstack", "signl4", "spike", "jira", "github"),
        *(
            "ntfy",
            "ntfys",
            "gotify",
            "gotifys",
            "pover",
            "pbul",
            "prowl",
            "bark",
            "barks",
            "simplepush",
            "spush",
            "join",
        ),
        *("pushy", "pushed", "onesignal", "fcm", "hassio", "hassios", "ifttt", "notifico", "notificos", "mastodon"),
        *("twilio", "vonage", "nexmo", "sinch", "plivo", "telnyx", "clicksend", "bulksms", "msgbird", "smtp2go", "sns"),
    )
)
# Some services read a file or a URL that one of these names.
_REFUSED_OPTIONS = frozenset(("template", "attach", "attachment", "config", "include", "pgpkey", "pgp", "key", "cert"))


class AppriseAdapter(TargetAdapter):
    """A sender by apprise.

    The only secret is `url`, since the URL of every service contains its password. `hosts` are patterns of hosts that
    may be called (none: all), as for webhooks; `is_loopback_allowed`: this machine, too.
    """

    type = TargetType.APPRISE

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        is_loopback_allowed: bool,
        ca_bundle: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._hosts = [host.lower() for host in hosts]
        self._is_loopback_allowed = is_loopback_allowed
        self._ca_bundle = ca_bundle
        self._seconds = seconds

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        require_scheme(secrets["url"])
        self._run({"url": secrets["url"], "check": True})

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        title, body = to_one_line(replace_surrogates(message.title)), replace_surrogates(message.body)
        texts = {"title": shorten_text(title, TITLE_LIMIT), "body": shorten_text(body, TEXT_LIMIT)}
        with refuse_for_usage_errors():
            require_scheme(secrets["url"])
            self._run({"url": secrets["url"], "id": message.id, **texts})

    def _run(self, request: Mapping[str, Any]) -> None:
        """Run the child. Raises UnavailableError where it failed, UsageError where it never can succeed."""
        if importlib.util.find_spec("apprise") is None:
            raise UsageError("apprise is not installed", f"Install it: {sys.executable} -m pip install apprise")
        service = parse_scheme(request["url"]) or "apprise"
        body = {
            **request,
            "hosts": self._hosts,
            "loopback": self._is_loopback_allowed,
            "seconds": self._seconds,
            "ca_bundle": str(self._ca_bundle) if self._ca_bundle else None,
        }
        try:
            result = subprocess.run(
                [sys.executable, "-I", "-B", "-m", CHILD],
                input=json.dumps(body),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._seconds,
                check=False,
                cwd="/",
                env=_make_environment(),
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(
                f"{service}: no answer within {self._seconds:.0f} s",
                "Check that the server reaches the service.",
            ) from None
        answer = _read_answer(result.stdout)
        if answer.get("ok"):
            return
        reason = scrub_secrets(str(answer.get("error") or "it ended without an answer"), request["url"])
        error = UsageError if answer.get("final") else UnavailableError
        raise error(
            f"{service}: {shorten_text(to_one_line(reason), 300)}",
            "Check the URL in the Target document.",
        )


def _make_environment() -> dict[str, str]:
    """The environment of the child: of the server's, where the system's authorities are.

    Proxies are left out, because they would look hosts up.
    """
    authorities = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
    return {"PATH": os.defpath, "HOME": "/", "LANG": "C.UTF-8", **authorities}


def require_scheme(url: str) -> None:
    """Raise UsageError for a URL of a service that is not on the list. The URL is not repeated."""
    scheme = parse_scheme(url)
    if scheme not in SCHEMES:
        advice = "docs/how-to/notifications.md lists them. For any other HTTP service, use the type webhook."
        raise UsageError(
            f"the scheme {shorten_text(scheme or '', 30)!r} is not allowed for targets of the type apprise", advice
        )
    query = url.partition("?")[2]
    names = {unquote(part.partition("=")[0]).strip("+- ").lower() for part in query.replace(";", "&").split("&")}
    if refused_options := sorted(names & _REFUSED_OPTIONS):
        raise UsageError(
            f"the option {refused_options[0]!r} of the URL is not allowed", "Leave it out: it can read files."
        )
    if not url.isprintable() or len(url) > 4000:
        raise UsageError("the URL has control characters or is too long", "Write it as apprise documents it.")


def parse_scheme(url: str) -> str | None:
    """The scheme of a URL in lower case, None without one."""
    scheme, separator, _ = url.partition("://")
    return to_one_line(scheme).lower() if separator else None


def scrub_secrets(text: str, url: str) -> str:
    """The text without any part of the URL that could be a secret: all but scheme, host and port.

    It takes every URL. `urllib.parse` refuses some that services accept, with a message that repeats their password.
    """
    location, _, query = url.partition("://")[2].partition("#")[0].partition("?")
    authority, _, path = location.partition("/")
    user, _, host = authority.rpartition("@")
    pieces = {url, location, user, *user.split(":"), path, *path.split("/"), query, *query.split("&")}
    pieces |= {part.partition("=")[2] for part in query.split("&")} | {url.partition("#")[2]}
    # In the URLs of many services, the host part is a token.
    if parse_scheme(url) not in ("mailto", "mailtos") and "." not in host:
        pieces |= {authority, host, *host.split(":")}
    pieces |= {unquote(piece) for piece in pieces}
    for piece in sorted((piece for piece in pieces if len(piece) >= 4), key=len, reverse=True):
        text = text.replace(piece, "…")
    return text


def _read_answer(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text[-_ANSWER_LIMIT:].strip().rpartition("\n")[2] or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
