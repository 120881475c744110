"""The parts of platforms, and which platforms of images match a wanted one."""

import pytest

from dockgate.shared.platforms import Platform


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm64/v8", "linux", "windows/amd64", "linux/arm/v7", ""])
def test_a_platform_is_read_back_from_its_text(text: str) -> None:
    assert str(Platform.parse(text)) == text


def test_a_platform_has_parts() -> None:
    platform = Platform.parse("linux/arm64/v8")
    assert platform == ("linux", "arm64", "v8")
    assert (platform.machine, str(platform.strip_variant())) == ("arm64/v8", "linux/arm64")
    assert Platform.parse("linux/amd64").machine == "amd64"


@pytest.mark.parametrize(
    ("platform", "wanted_platform", "expected"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("Linux/AMD64", "linux/amd64", True),
        ("linux/X86_64", "linux/amd64", True),
        ("linux/aarch64", "linux/arm64", True),
        ("linux/amd64", "linux/arm64", False),
        ("windows/amd64", "linux/amd64", False),
        ("linux/arm64/v8", "linux", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/V8", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm64/v9", False),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm", "linux/arm/v6", False),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "linux/amd64/v2", False),
        ("linux/armhf/v7", "linux/arm/v7", True),
    ],
)
def test_a_platform_matches_in_any_case_and_by_default_variants(
    platform: str, wanted_platform: str, expected: bool
) -> None:
    assert Platform.parse(platform).is_match(Platform.parse(wanted_platform)) is expected
