"""A fleet of images with real names of packages: bases that many share, layers of teams, and a long tail."""

import random
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.services.fleet.index import split_inventory
from dockgate.shared.canonical import encode
from dockgate.shared.digest import compute_digest
from dockgate.store.fleet.index import NewImage

NOW = "2026-11-28T10:00:00.000Z"
BASES, TEAM_LAYERS = 300, 1_500
# Packages of a base, of a team's layer, and of an image alone.
BASE_SIZE, TEAM_SIZE, OWN_SIZE = (120, 220), (20, 60), (5, 25)
# The part of the packages that are older than every fix: of a base's, of the languages'.
OLD_OF_BASE, OLD = 0.012, 0.04
# The part of the images whose own layer replaces packages of the layer below.
REPLACING = 0.07

# Images whose inventories are encoded to know their size.
SIZED = 200


class Generator:
    """Makes images. `advisories` is the database whose names they use; equal seeds make equal fleets."""

    def __init__(self, advisories: Path, seed: int = 14) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same fleet at each run
        with sqlite3.connect(f"file:{advisories}?mode=ro", uri=True) as sql:
            self.names = {
                ecosystem: [
                    name
                    for (name,) in sql.execute(
                        "SELECT DISTINCT a.name FROM affected a JOIN ecosystem e ON e.id = a.ecosystem"
                        " WHERE e.name = ? ORDER BY a.name",
                        (ecosystem,),
                    )
                ]
                for ecosystem in ("Debian:13", "PyPI", "npm")
            }
        self._bases = [
            self._make_layer(f"base-{number}", self._pick_debian_packages(BASE_SIZE)) for number in range(BASES)
        ]
        self._layers = [
            self._make_layer(f"team-{number}", self._pick_language_packages(TEAM_SIZE, f"opt/{number}"))
            for number in range(TEAM_LAYERS)
        ]

        # Bytes of the stored inventories of the first images.
        self.document_sizes: list[int] = []

    def generate_images(self, count: int) -> Iterator[NewImage]:
        """Yield that many images."""
        for repository, inventory in self.generate_inventories(count):
            digest = inventory.image_digest
            yield NewImage(digest, repository, digest, "bench", NOW, NOW, (split_inventory(inventory),))

    def generate_inventories(self, count: int) -> Iterator[tuple[str, Inventory]]:
        """Yield that many repositories, each with what an image of it holds."""
        for number in range(count):
            base = self._bases[self._draw_zipf(len(self._bases))]
            layers = [
                base,
                *(self._layers[self._draw_zipf(len(self._layers))] for _ in range(self._random.randint(2, 4))),
            ]
            own_packages = self._pick_language_packages(OWN_SIZE, "app")
            if self._random.random() < REPLACING:
                own_packages += [
                    replace(package, version="4.0.0", source_version="4.0.0") for package in layers[-1][:2]
                ]
            layers.append(self._make_layer(f"own-{number}", own_packages))
            packages = {package.path: package for layer in layers for package in layer}
            digest = compute_digest(f"image {number}".encode())
            digests = tuple(dict.fromkeys(package.layer or "" for layer in layers for package in layer))
            inventory = Inventory(
                digest,
                "linux/amd64",
                Distribution("debian", "13"),
                digests,
                tuple(packages.values()),
                (),
                base_layers=1,
                created=NOW,
                user="1000",
            )
            if number < SIZED:
                self.document_sizes.append(len(zlib.compress(encode(inventory))))
            yield f"team-{number % 40}/app-{number % 700}", inventory

    def _pick_debian_packages(self, size: tuple[int, int]) -> list[Package]:
        names = self._random.sample(self.names["Debian:13"], self._random.randint(*size))
        versions = [
            "0:0-1" if self._random.random() < OLD_OF_BASE else f"99:1-{self._random.randint(1, 2)}" for _ in names
        ]
        return [self._make_package("Debian:13", name, version) for name, version in zip(names, versions, strict=True)]

    def _pick_language_packages(self, size: tuple[int, int], folder: str) -> list[Package]:
        packages = []
        for _ in range(self._random.randint(*size)):
            ecosystem = self._random.choice(("PyPI", "npm", "npm"))
            names = self.names[ecosystem]
            if self._random.random() < OLD:
                name = names[self._random.randrange(len(names))]
                packages.append(self._make_package(ecosystem, name, "0.0.1", folder))
            else:  # one of many that no advisory is about
                name = f"package-{int(self._random.paretovariate(0.25)) % 40_000}"
                packages.append(self._make_package(ecosystem, name, f"{self._random.randint(1, 3)}.0.0", folder))
        return packages

    def _make_package(self, ecosystem: str, name: str, version: str, folder: str = "") -> Package:
        kind = {"Debian:13": "deb/debian", "PyPI": "pypi", "npm": "npm"}[ecosystem]
        path = "var/lib/dpkg/status" if ecosystem == "Debian:13" else f"{folder}/{kind}/{name}"
        return Package(name, version, f"pkg:{kind}/{name}@{version}", ecosystem, name, version, f"{path}#{name}")

    def _make_layer(self, name: str, packages: list[Package]) -> list[Package]:
        layer = compute_digest(name.encode())
        return [replace(package, layer=layer) for package in {package.path: package for package in packages}.values()]

    def _draw_zipf(self, length: int) -> int:
        """A number below `length`, small ones more often."""
        return min(int(length * self._random.random() ** 2), length - 1)
