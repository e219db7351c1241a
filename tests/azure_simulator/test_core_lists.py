"""Lists come in pages: of ARM's resources, and of pools on both planes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from arm_client import DEFINITION, GALLERY, GOLDEN, IMAGES, VERSION, Arm, error_of, message_of
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.batch import BatchManagementClient
from azure.mgmt.compute import ComputeManagementClient
from batch_client import Batch, pool_body
from starlette.testclient import TestClient
from test_compute_sdk import NoToken

from include.azure_simulator.world import World


@pytest.fixture(autouse=True)
def small_pages(world: World) -> None:
    """Two items on a page."""
    pages = {"list_page_size": 2, "gallery_page_size": 2}
    world.settings = world.settings.patched({"compute": pages, "batch": {"list_page_size": 2}})


@pytest.fixture
def compute(arm: Arm, live_simulator: str) -> Iterator[ComputeManagementClient]:
    """The client of the SDK."""
    policy = SansIOHTTPPolicy()
    with ComputeManagementClient(
        NoToken(), arm.subscription, base_url=live_simulator, authentication_policy=policy
    ) as client:
        yield client


def _pages(client: TestClient, answer: dict[str, Any]) -> list[list[str]]:
    """The names on each page, from the first one on."""
    pages = [answer]
    while "nextLink" in pages[-1]:
        pages.append(client.get(pages[-1]["nextLink"]).json())
    return [[item["name"] for item in page["value"]] for page in pages]


def _versions(arm: Arm, count: int) -> list[str]:
    arm.make_definition()
    image = arm.make_image()
    names = [f"1.0.{number}" for number in range(count)]
    for name in names:
        arm.done(arm.put(f"{DEFINITION}/versions/{name}", arm.version_body(image)))
    return names


def test_versions_come_in_pages(client: TestClient, arm: Arm) -> None:
    _versions(arm, 5)
    pages = _pages(client, arm.get(f"{DEFINITION}/versions").json())
    assert pages == [["1.0.0", "1.0.1"], ["1.0.2", "1.0.3"], ["1.0.4"]]


def test_a_full_page_that_is_the_last_has_no_link(client: TestClient, arm: Arm) -> None:
    _versions(arm, 2)
    assert "nextLink" not in arm.get(f"{DEFINITION}/versions").json()


def test_a_link_keeps_the_query_and_is_absolute(arm: Arm) -> None:
    link = arm.get(f"{GOLDEN}/disks?$top=9").json()["nextLink"]
    assert link.startswith(f"http://localhost:8070/subscriptions/{arm.subscription}/{GOLDEN}/disks?")
    assert "%24top=9" in link
    assert "api-version=2026-03-02" in link


def test_what_goes_between_two_pages_moves_nothing_else_out(client: TestClient, arm: Arm) -> None:
    names = _versions(arm, 5)
    first = arm.get(f"{DEFINITION}/versions").json()
    arm.done(arm.call("DELETE", f"{DEFINITION}/versions/{names[0]}"))
    arm.done(arm.call("DELETE", f"{DEFINITION}/versions/{names[1]}"))
    assert _pages(client, first) == [["1.0.0", "1.0.1"], ["1.0.2", "1.0.3"], ["1.0.4"]]


@pytest.mark.parametrize("token", ["5", "%FF", "w4"])
def test_a_token_that_is_none_is_refused(arm: Arm, token: str) -> None:
    answer = arm.get(f"{GOLDEN}/disks?$skiptoken={token}")
    assert error_of(answer) == (400, "InvalidParameter")
    assert "$skiptoken" in message_of(answer)


@pytest.mark.parametrize("scope", ["", "resourceGroups/golden/"])
@pytest.mark.parametrize("kind", ["disks", "snapshots", "images", "virtualMachines", "galleries"])
def test_every_list_has_a_size_of_page(arm: Arm, world: World, kind: str, scope: str) -> None:
    pages = {"list_page_size": 1, "gallery_page_size": 1}
    world.settings = world.settings.patched({"compute": pages})
    for name in ("a", "b"):
        arm.done(arm.put(f"{GOLDEN}/snapshots/{name}", arm.snapshot_body()))
        arm.done(arm.put(f"{GOLDEN}/images/{name}", arm.image_body(arm.id(f"{GOLDEN}/snapshots/{name}"))))
        arm.done(arm.put(f"{GOLDEN}/galleries/{name}", {"location": "westeurope"}))
    answer = arm.get(f"{scope}providers/Microsoft.Compute/{kind}").json()
    assert len(answer["value"]) == 1
    assert ("nextLink" in answer) == (kind != "virtualMachines")


def test_a_list_leaves_out_the_replication_status(arm: Arm) -> None:
    _versions(arm, 1)
    listed = arm.get(f"{DEFINITION}/versions?$expand=ReplicationStatus").json()["value"][0]
    assert "replicationStatus" not in listed["properties"]
    assert listed["properties"]["publishingProfile"]["publishedDate"]
    assert "replicationStatus" in arm.get(f"{VERSION}?$expand=ReplicationStatus").json()["properties"]


def test_the_sdk_walks_all_pages(arm: Arm, compute: ComputeManagementClient) -> None:
    names = _versions(arm, 5)
    for number in range(3):
        body = arm.definition_body(identifier={"publisher": "team", "offer": "golden", "sku": f"s{number}"})
        arm.done(arm.put(f"{GALLERY}/images/more-{number}", body))
        arm.take_snapshot(f"s{number}")
    where = ("images", "golden_gallery")
    assert [found.name for found in compute.gallery_image_versions.list_by_gallery_image(*where, "golden")] == names
    definitions = [found.name for found in compute.gallery_images.list_by_gallery(*where)]
    assert definitions == ["golden", "more-0", "more-1", "more-2"]
    assert len(list(compute.disks.list())) == 3
    snapshots = [found.name for found in compute.snapshots.list_by_resource_group("images")]
    assert snapshots == ["golden-image-os", "s0", "s1", "s2"]
    assert [found.name for found in compute.images.list()] == ["golden-image"]
    assert [found.name for found in compute.galleries.list()] == ["golden_gallery"]


def test_both_planes_of_batch_walk_all_pools(client: TestClient, arm: Arm, world: World, live_simulator: str) -> None:
    batch = Batch(client, world)
    names = [f"pool-{number}" for number in range(5)]
    for name in names:
        assert batch.put(name, pool_body()).status_code == 200
    assert _pages(client, batch.call("GET", "/pools").json()) == [names[:2], names[2:4], names[4:]]
    options: dict[str, Any] = {"authentication_policy": SansIOHTTPPolicy()}
    with BatchManagementClient(NoToken(), arm.subscription, base_url=live_simulator, **options) as management:
        assert [pool.name for pool in management.pool.list_by_batch_account("batch", "goldenbatch")] == names
        few = management.pool.list_by_batch_account("batch", "goldenbatch", maxresults=1).by_page()
        assert [len(list(page)) for page in few] == [1] * 5
    key = AzureNamedKeyCredential("goldenbatch", "c2ltdWxhdG9yLXByaW1hcnkta2V5")
    with BatchClient(live_simulator, key) as plane:
        assert [pool.id for pool in plane.list_pools()] == names


def test_a_page_of_pools_links_to_the_next_on_the_data_plane(client: TestClient, world: World) -> None:
    batch = Batch(client, world)
    for number in range(3):
        batch.put(f"pool-{number}", pool_body())
    answer = batch.plane("GET", "/pools").json()
    assert len(answer["value"]) == 2
    assert len(client.get(answer["odata.nextLink"]).json()["value"]) == 1
    assert len(batch.plane("GET", "/pools?maxresults=1").json()["value"]) == 1


def test_a_pool_that_goes_between_two_pages_moves_no_other_out(client: TestClient, world: World) -> None:
    batch = Batch(client, world)
    for name in ("c", "B", "a", "d"):
        batch.put(name, pool_body())
    first = {"nextLink": batch.call("GET", "/pools").json(), "odata.nextLink": batch.plane("GET", "/pools").json()}
    assert [item["name"] for item in first["nextLink"]["value"]] == ["a", "B"]
    batch.call("DELETE", "/pools/a")
    batch.call("DELETE", "/pools/B")
    batch.wait(minutes=5)
    for link, page in first.items():
        rest = client.get(page[link]).json()["value"]
        assert [item.get("name") or item["id"] for item in rest] == ["c", "d"]


def test_pages_are_in_the_order_of_ids(client: TestClient, arm: Arm) -> None:
    for name in ("c", "B", "a"):
        arm.take_snapshot(name)
    names = [name for page in _pages(client, arm.get(f"{IMAGES}/snapshots").json()) for name in page]
    assert names == ["a", "B", "c"]
