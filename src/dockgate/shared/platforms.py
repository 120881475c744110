"""The platforms of images: "linux/amd64", "linux/arm64/v8"."""

from typing import NamedTuple

# Other names by which containerd selects a platform (containerd/platforms, database.go).
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm", "armel": "arm"}
# Variants that images leave out, by architecture.
_DEFAULT_VARIANTS = {"arm64": "v8", "arm": "v7"}

# What people read where the platform of an image is unknown.
UNKNOWN_PLATFORM = "unknown platform"


class Platform(NamedTuple):
    """A platform in its parts. An absent part is empty.

    A named tuple, because every scan imports it, and dataclasses take five times as long to make.
    """

    os: str
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Read a platform, as it is written."""
        os, _, machine = text.partition("/")
        architecture, _, variant = machine.partition("/")
        return cls(os, architecture, variant)

    @property
    def machine(self) -> str:
        """Architecture and variant: "arm64/v8"."""
        return "/".join(filter(None, self[1:]))

    def strip_variant(self) -> "Platform":
        """Return the platform in any variant."""
        return self._replace(variant="")

    def is_match(self, wanted_platform: "Platform") -> bool:
        """Return whether this platform of an image is the wanted one, in lower case: "linux", "linux/arm64".

        Without a variant all variants match. An image without one has the default variant. Case and other names of
        architectures make no difference in the image.
        """
        os, architecture, variant = (part.lower() for part in self)
        architecture = _ALIASES.get(architecture, architecture)
        wanted_os, wanted_architecture, wanted_variant = wanted_platform
        if os != wanted_os or (wanted_architecture and architecture != wanted_architecture):
            return False
        return wanted_variant in ("", variant) or (
            not variant and wanted_variant == _DEFAULT_VARIANTS.get(architecture)
        )
