"""The pages of images of which it is unknown whether a vulnerability affects them."""

from dockgate.web.console.list_links import ListLinks
from dockgate.web.console.pages.vulnerabilities import EXPOSED_IMAGES, make_unknown_links

PATH = "/vulnerabilities/CVE-2026-1"


def test_the_table_of_images_stays_filtered_and_sorted() -> None:
    links = ListLinks(PATH, ["newest", "oldest"], "oldest", [("only", "running")], after="9", fragment="#images")
    unknown_links = make_unknown_links(links, "7", 0)
    assert unknown_links.link_page(unknown_links.next_cursor) == (
        f"{PATH}?only=running&sort=oldest&unknown_after=7#unknown"
    )
    assert unknown_links.after is None
    last = make_unknown_links(links, None, 7)
    assert (last.next_cursor, last.link_page()) == (None, f"{PATH}?only=running&sort=oldest#unknown")


def test_a_page_links_the_one_before_it_unless_that_is_the_first() -> None:
    links = ListLinks(PATH, ["newest"], "newest")
    second, third = (make_unknown_links(links, None, pages * EXPOSED_IMAGES) for pages in (1, 2))
    assert second.previous_cursor is None
    assert third.link_page(third.previous_cursor) == f"{PATH}?unknown_after={EXPOSED_IMAGES}#unknown"
