"""Fill the console's templates, with the headers that keep image content from acting in a page."""

import hashlib
import secrets
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from dockgate import __version__
from dockgate.delivery.repository_files import is_path_supported
from dockgate.gate.model import VexSigner
from dockgate.identity.model import Caller, Permission, list_roles
from dockgate.services.policies.policies import COMMENT_LIMIT
from dockgate.services.web_services import WebServices
from dockgate.shared.byte_sizes import format_byte_size
from dockgate.shared.certainty import describe_absence, describe_containing_images, describe_known_count
from dockgate.shared.digest import is_digest
from dockgate.shared.purl import strip_qualifiers
from dockgate.shared.reasons import REASON_LIMIT
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import is_past
from dockgate.shared.wording import describe_moved_images, format_count
from dockgate.web import page_paths
from dockgate.web.browser_sessions import read_cookie
from dockgate.web.compression import LEAST_BYTES, compress, is_gzip_accepted
from dockgate.web.console import charts, formats, terminal_text
from dockgate.web.console.empty_states import get_empty_state
from dockgate.web.console.flash import clear_flash, read_flash
from dockgate.web.console.repeated_forms import render_form_key
from dockgate.web.console.text_pages import split_lines

_MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
# A browser keeps a static file for a year: its URL changes with its content.
_STATIC_CACHE = "public, max-age=31536000, immutable"
# The cookie that overrides the system's choice of light or dark.
THEME_COOKIE = "dockgate-theme"
THEMES = ("light", "dark")
# The cookie that turns single-key shortcuts off (WCAG 2.1.4): its only value.
KEYS_COOKIE = "dockgate-keys"
KEYS_OFF = "off"


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """A page of the navigation.

    Pages that belong to it have paths that begin with one of `page_roots`, such as "executions". `is_filtered`:
    callers who are limited to some repositories see their part of it; other pages are closed to them.
    """

    title: str
    path: str
    icon: str
    permission: Permission = Permission.READ
    is_filtered: bool = False
    page_roots: tuple[str, ...] = ()

    def has_page(self, path: str) -> bool:
        """Return whether the page at this path belongs to it."""
        first = path.split("/")[1]
        return first in (self.path.split("/")[1], *self.page_roots)


# Groups of pages, in the order in which people need them.
NAVIGATION: tuple[tuple[NavigationItem, ...], ...] = (
    (
        NavigationItem("Overview", "/", "house", is_filtered=True),
        NavigationItem("Pipelines", "/pipelines", "workflow", is_filtered=True, page_roots=("executions", "approvals")),
        NavigationItem("Images", "/images", "box", is_filtered=True, page_roots=("verdicts",)),
        NavigationItem(
            "Vulnerabilities", "/vulnerabilities", "shield-alert", is_filtered=True, page_roots=("packages",)
        ),
        NavigationItem("Running", "/running", "server", is_filtered=True),
    ),
    (NavigationItem("Repositories", "/repositories", "git-branch", is_filtered=True),),
    (
        NavigationItem("Policies", "/policies", "scale", is_filtered=True),
        NavigationItem("Waivers", "/waivers", "file-check", is_filtered=True, page_roots=("vex",)),
        NavigationItem("Advisories", "/advisories", "rss", is_filtered=True),
        NavigationItem("Events", "/events", "list", is_filtered=True),
    ),
    (
        NavigationItem("People", "/people", "users", Permission.ADMINISTER),
        NavigationItem("Audit", "/audit", "scroll-text", Permission.ACCEPT),
        NavigationItem(
            "Settings", "/settings", "settings", is_filtered=True, page_roots=("workers", "attestation-keys", "gc")
        ),
    ),
)


def render_page(
    request: Request, caller: Caller | None, template: str, code: int = 200, is_live: bool = False, **context: Any
) -> HTMLResponse:
    """Fill a template.

    `caller` is None for pages that ask who calls. `context` has what the template names. A page that `is_live` is
    refreshed at each event.
    """
    services: WebServices = request.app.state.services
    nonce, flash = secrets.token_urlsafe(16), read_flash(request)
    theme = read_cookie(request, THEME_COOKIE)
    html = (
        make_environment()
        .get_template(template)
        .render(
            nonce=nonce,
            viewer=caller,
            path=page_paths.make_request_path(request),
            page_address=page_paths.make_request_address(request),
            theme=theme if theme in THEMES else "",
            has_keys=read_cookie(request, KEYS_COOKIE) != KEYS_OFF,
            navigation=_list_navigation(caller) if caller else (),
            is_open=lambda page: caller is not None and _is_open(caller, page),
            is_unprotected=caller is not None and caller.token is None,
            version=__version__,
            is_live=is_live,
            get_empty_state=partial(get_empty_state, caller=caller),
            now=services.clock(),
            flash=flash,
            **context,
        )
    )
    headers = {**_HEADERS, "Content-Security-Policy": _make_content_policy(nonce)}
    body = html.encode()
    # Answers to forms may show a token, whose bytes no length must tell.
    if (
        request.method == "GET"
        and len(body) >= LEAST_BYTES
        and is_gzip_accepted(request.headers.get("Accept-Encoding", ""))
    ):
        body, headers = compress(body), {**headers, "Content-Encoding": "gzip"}
    response = HTMLResponse(body, code, headers=headers)
    if flash is not None:
        clear_flash(request, response)
    return response


def find_static_file(name: str, accepted_encodings: str) -> Response | None:
    """A file of the style or the scripts for a client with this Accept-Encoding, None for an unknown name."""
    entry = _read_static_files().get(name)
    if entry is None:
        return None
    headers = {"Cache-Control": _STATIC_CACHE, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    body = entry.data
    if is_gzip_accepted(accepted_encodings):
        body, headers = entry.gzip_data, {**headers, "Content-Encoding": "gzip"}
    return Response(body, media_type=_MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)


def make_static_url(name: str) -> str:
    """The URL of a static file, which changes with its content."""
    return f"/static/{name}?v={_read_static_files()[name].digest}"


# `no-store`: pages show what the next person at the browser may not see. `same-origin`: no path leaves in a referrer.
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding, Cookie, HX-Request",
}


def _make_content_policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types htmx"
    )


def _list_navigation(caller: Caller) -> list[list[NavigationItem]]:
    groups = ([item for item in group if _can_open(caller, item)] for group in NAVIGATION)
    return [group for group in groups if group]


def _is_open(caller: Caller, path: str) -> bool:
    """Return whether the caller may open the page of the navigation at this path."""
    return any(item.path == path for group in _list_navigation(caller) for item in group)


def _can_open(caller: Caller, item: NavigationItem) -> bool:
    is_open = caller.can(item.permission) and not replace(caller, permission=item.permission).is_limited
    return is_open or (item.is_filtered and caller.can_somewhere(item.permission))


class StaticFile(NamedTuple):
    """A static file, as it is and by gzip, with the beginning of its hash."""

    data: bytes
    gzip_data: bytes
    digest: str


@cache
def _read_static_files() -> dict[str, StaticFile]:
    """Each static file by its name."""
    folder = files("dockgate.web.console") / "static"
    entries = {}
    for file in folder.iterdir():
        if file.name.rpartition(".")[2] in _MEDIA_TYPES:
            data = file.read_bytes()
            entries[file.name] = StaticFile(data, compress(data), hashlib.sha256(data).hexdigest()[:16])
    return entries


# What templates may call, also as filters.
_FUNCTIONS = (
    charts.draw_bar_plot,
    charts.draw_line_plot,
    charts.draw_share_bar,
    formats.format_age,
    formats.count_bars,
    format_byte_size,
    formats.mark_breakable,
    formats.mark_command,
    formats.describe_check,
    formats.mark_foreign,
    is_path_supported,
    formats.mark_beginning,
    formats.render_lines,
    formats.get_mark,
    is_past,
    formats.find_field,
    page_paths.make_image_path,
    page_paths.make_package_path,
    page_paths.make_policy_path,
    formats.build_weakness_url,
    formats.shorten_refusal,
    is_digest,
    split_lines,
    strip_qualifiers,
    describe_absence,
    describe_containing_images,
    describe_known_count,
    describe_moved_images,
    format_count,
    formats.render_prose,
    formats.render_audit_text,
    page_paths.make_repository_path,
    list_roles,
    formats.make_sentence,
    formats.quote_word,
    formats.shorten_rejection,
    formats.shorten_digest,
    page_paths.make_tag_path,
    formats.format_duration,
    terminal_text.render_line,
    terminal_text.escape_invisible,
    page_paths.make_vulnerability_path,
    page_paths.find_subject_path,
    formats.render_time,
)


@cache
def make_environment() -> Environment:
    """The templates, with what they may call. They are read once."""
    environment = Environment(
        loader=PackageLoader("dockgate.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for function in (*_FUNCTIONS, make_static_url, render_form_key):
        environment.globals[function.__name__] = function
        environment.filters[function.__name__] = function
    for kind in (ImageReference, Permission, VexSigner):
        environment.globals[kind.__name__] = kind
    environment.globals.update(REASON_LIMIT=REASON_LIMIT, COMMENT_LIMIT=COMMENT_LIMIT)
    return environment
