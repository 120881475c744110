"""The platforms of an image as tabs of a page."""

from dockgate.web.console.pages.platform_tabs import choose_platform, name_platforms

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_an_image_for_the_same_platform_as_another_is_named_with_its_digest() -> None:
    assert name_platforms([("linux/amd64", A), ("linux/arm64", B)]) == ["linux/amd64", "linux/arm64"]
    first, second = name_platforms([("linux/amd64", A), ("linux/amd64", B)])
    assert first.startswith("linux/amd64 ")
    assert first != second


def test_an_unknown_platform_can_be_chosen() -> None:
    platforms = [(None, A), ("linux/amd64", B)]
    choice = choose_platform(platforms, "unknown platform")
    assert choice.names == ["unknown platform", "linux/amd64"]
    assert choice.select(platforms) == [(None, A)]
    assert choose_platform(platforms, "").select(platforms) == platforms
