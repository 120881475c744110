"""The layers of an image: what each brought, and what made it, in the page and the API alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.console_site import HOSTILE
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.scanner.model import Inventory, LayerBuildInfo
from dockgate.shared.digest import compute_digest

BASE, OWN = compute_digest(b"base"), compute_digest(b"own")
SECRET = "hunter2"


class LayeredServer(ServerSystem):
    """A server whose images have a layer of their base, and one of their own with the packages."""

    def _read(self, repository: str, digest: str) -> Sequence[Inventory]:
        return [
            replace(
                inventory,
                layers=(BASE, OWN),
                base_layers=1,
                packages=tuple(replace(package, layer=OWN) for package in inventory.packages),
            )
            for inventory in super()._read(repository, digest)
        ]

    def _list_origins(self, inventory: Inventory) -> tuple[LayerBuildInfo, ...]:
        return LayerBuildInfo(51_380_224, ""), LayerBuildInfo(700, f"RUN login {SECRET} {HOSTILE}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayeredServer]:
    folder: Path = tmp_path_factory.mktemp("layers")
    with LayeredServer(folder) as system:
        yield system


@pytest.fixture(scope="module")
def image(server: LayeredServer) -> str:
    digest = server.plan_image("web", PlannedFindings({"HIGH": 2}))
    execution = server.request_approval(digest)
    server.end_scan(digest)
    server.answer(execution)
    wait_until(lambda: server.get(f"/images/{digest}")["inventories"][0]["layers"][1]["findings"])
    return digest


def test_each_layer_has_its_size_origin_packages_and_findings(server: LayeredServer, image: str) -> None:
    (inventory,) = server.get(f"/images/{image}")["inventories"]
    base, own_layer = inventory["layers"]
    assert base == {
        "position": 1,
        "digest": BASE,
        "is_base": True,
        "size": 51_380_224,
        "made_by": None,
        "packages": 0,
        "findings": {},
    }
    assert (own_layer["is_base"], own_layer["size"], own_layer["made_by"]) == (
        False,
        700,
        f"RUN login {SECRET} {HOSTILE}",
    )
    assert (own_layer["packages"], own_layer["findings"]) == (3, {"HIGH": 2})


def test_a_layer_leads_to_the_images_with_a_finding_in_it(server: LayeredServer, image: str) -> None:
    with Browser(server, "") as browser:
        page = browser.get(f"/images/{image}?tab=layers").text
        assert f'<a href="/images?layer={OWN}">images with it</a>' in page
        assert f"/images?layer={BASE}" not in page
        image_list = browser.get(f"/images?layer={OWN}&severity=HIGH").text
        assert image in image_list
        assert 'aria-current="true">in layer' in image_list
        assert image not in browser.get(f"/images?layer={BASE}").text
    (entry,) = {entry["digest"] for entry in server.get(f"/images?layer={OWN}&severity=HIGH")["images"]}
    assert entry == image
    assert server.get(f"/images?layer={BASE}")["images"] == []


def test_the_page_shows_what_made_a_layer_as_text(server: LayeredServer, image: str) -> None:
    with Browser(server, "") as browser:
        page = browser.get(f"/images/{image}?tab=layers").text
    assert "49.0 MiB" in page
    assert "700 B" in page
    assert "not stated" in page
    assert f"RUN login {SECRET} &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_commands_that_may_hold_secrets_are_in_no_document_that_people_pass_on(
    server: LayeredServer, image: str
) -> None:
    verdict = server.get(f"/images/{image}")["verdicts"][0]["digest"]
    inventory = server.get(f"/verdicts/{verdict}")["inputs"]["inventories"][0]
    with Browser(server, "") as browser:
        for path in (
            f"/api/v1/documents/{inventory}",
            f"/api/v1/verdicts/{verdict}/case",
            *(f"/images/{image}/sbom?form={form}" for form in ("cyclonedx", "spdx", "json")),
            *(f"/verdicts/{verdict}/report?form={form}" for form in ("html", "json", "sarif", "cyclonedx", "case")),
        ):
            answer = browser.get(path)
            assert answer.status_code == 200, path
            assert SECRET not in answer.text, path


@pytest.mark.parametrize(
    ("sort", "positions"), [("layer", "12"), ("-layer", "21"), ("size", "21"), ("-size", "12"), ("-findings", "21")]
)
def test_layers_are_sorted_by_the_heads_of_their_table(
    server: LayeredServer, image: str, sort: str, positions: str
) -> None:
    with Browser(server, "") as browser:
        page = browser.get(f"/images/{image}?tab=layers&layers-1-sort={sort}").text
    table = page.partition('<section id="layers-1">')[2].partition("</table>")[0]
    assert re.findall(r'data-label="Layer">(\d)', table) == [*positions]
    assert table.count("aria-sort=") == 1


def test_the_number_of_packages_of_a_layer_leads_to_them(server: LayeredServer, image: str) -> None:
    with Browser(server, "") as browser:
        page = browser.get(f"/images/{image}?tab=layers").text
        links = re.findall(rf'href="(/images/{image}\?tab=packages&amp;layer=sha256:\w+)"[^>]*>(\d+)<', page)
        assert links
        for link, count in links:
            section = (
                browser.get(unescape(link)).text.partition('<section id="packages">')[2].partition("</section>")[0]
            )
            assert re.search(rf">{count} packages? of layer \d", section)
            rows = section.partition("<tbody>")[2].partition("</tbody>")[0]
            assert rows.count("<tr>") == int(count)
