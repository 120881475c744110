"""Base images as the rule `base_image` names them: by the diff_ids of their layers."""

from dataclasses import dataclass
from pathlib import Path

from dockgate.scanner.images import open_images
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.shared.errors import UsageError


@dataclass(frozen=True, slots=True)
class BaseLayers:
    """One platform of an image; `layers` are diff_ids, base first."""

    platform: str
    layers: tuple[str, ...]


def base_layers(
    reference: str, platform: str = "all", *, ca_bundle: Path | None = None, insecure: bool = False
) -> tuple[BaseLayers, ...]:
    """The layers of each platform of an image. Every layer is read once.

    Raises what `images.open_images` does, and UsageError for a root folder, which has no layers.
    """
    with open_images(reference, [platform], ca_bundle=ca_bundle, insecure=insecure) as opened:
        hashed: dict[str, str] = {}
        platforms = []
        for image in opened.images:
            for layer in image.layers:
                if not isinstance(layer, TarLayer):
                    raise UsageError(f"{reference} has no layers.", "Name an image in a registry, layout or archive.")
                if layer.digest not in hashed:
                    hashed[layer.digest] = layer.hash_content()
            platforms.append(BaseLayers(image.platform, tuple(hashed[layer.digest] for layer in image.layers)))
        return tuple(platforms)
