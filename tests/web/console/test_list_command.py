"""The command at the foot of the list of images."""

import shlex

from dockgate.cli.image import list_images
from dockgate.cli.main import root
from dockgate.gate.model import Status
from dockgate.services.images.search import NOT_JUDGED, ImageQuery
from dockgate.store.images.image_filter import ImageSort, Origin
from dockgate.vulnerabilities.model import Severity
from dockgate.web.console.pages.images import make_list_command


def test_the_command_lists_what_the_page_lists() -> None:
    layer = "sha256:" + "a" * 64
    query = ImageQuery(
        repository="team/*",
        severities=[Severity.CRITICAL, Severity.HIGH],
        is_fixable=True,
        is_exploited=True,
        epss=0.1,
        package="pkg:npm/it's",
        origin=Origin.BASE,
        layer=layer,
        statuses=[Status.REJECTED, NOT_JUDGED],
        is_running=True,
        should_include_moved=True,
        sort=ImageSort.SEVERITY,
    )
    words = shlex.split(make_list_command(query))
    assert words[:3] == ["dockgate", "image", "list"]
    with list_images.make_context("list", words[3:], **root.context_settings) as context:
        parameters = {
            name: value for name, value in context.params.items() if name not in ("limit", "after", "output_format")
        }
    assert parameters == {
        "repository": "team/*",
        "severity": "CRITICAL,HIGH",
        "fixable": True,
        "exploited": True,
        "epss": 0.1,
        "package": "pkg:npm/it's",
        "origin": "base",
        "layer": layer,
        "status": ("rejected", "not-judged"),
        "running": True,
        "all_tags": True,
        "sort": "severity",
        "all_images": False,
    }


def test_without_filters_the_command_has_no_options() -> None:
    assert make_list_command(ImageQuery(repository="", package="", layer="")) == "dockgate image list"
