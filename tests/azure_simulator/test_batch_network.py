"""The network configuration of a pool: inbound NAT pools and public addresses."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import AGENT, UBUNTU, Batch, pool_body, reasons, refusal, scale

RULE = {"priority": 170, "access": "Allow", "sourceAddressPrefix": "192.168.1.0/24"}


@pytest.fixture
def batch(client: TestClient, world: World) -> Batch:
    return Batch(client, world)


def _nat(name: str = "ssh", port: int = 22, start: int = 4000, **more: object) -> dict[str, Any]:
    return {
        "name": name,
        "protocol": "TCP",
        "backendPort": port,
        "frontendPortRangeStart": start,
        "frontendPortRangeEnd": start + 99,
        **more,
    }


def _network(*nat_pools: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"networkConfiguration": {"endpointConfiguration": {"inboundNatPools": list(nat_pools)}, **more}}


def test_nat_pools_are_shown_on_both_planes(batch: Batch) -> None:
    network = _network(_nat(networkSecurityGroupRules=[RULE]), _nat("web", 8080, 5000), subnetId="/a/subnet")
    batch.put("nightly", pool_body(**network))

    plane = batch.plane("GET", "/pools/nightly").json()["networkConfiguration"]
    shown = plane["endpointConfiguration"]["inboundNATPools"]
    assert batch.get("nightly")["networkConfiguration"] == network["networkConfiguration"]
    assert [(pool["name"], pool["protocol"], pool["backendPort"]) for pool in shown] == [
        ("ssh", "tcp", 22),
        ("web", "tcp", 8080),
    ]
    assert shown[0]["networkSecurityGroupRules"] == [RULE | {"access": "allow"}]


def test_what_the_data_plane_shows_can_be_sent_to_it(batch: Batch) -> None:
    batch.put("nightly", pool_body(**_network(_nat(networkSecurityGroupRules=[RULE]))))
    network = batch.plane("GET", "/pools/nightly").json()["networkConfiguration"]
    configuration = {"imageReference": UBUNTU, "nodeAgentSKUId": AGENT}
    body = {"id": "other", "vmSize": "standard_d2s_v5", "virtualMachineConfiguration": configuration}

    made = batch.plane("POST", "/pools", body | {"networkConfiguration": network})

    assert made.status_code == 201, made.text
    assert batch.get("other")["networkConfiguration"] == batch.get("nightly")["networkConfiguration"]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (_network(*(_nat(f"n{n}", 100 + n, 1000 * n) for n in range(1, 7))), "at most 5 items"),
        (_network(_nat(port=29876)), "The backend port 29876 is reserved."),
        (_network(_nat(port=0)), "greater than or equal to 1"),
        (_network(_nat(start=49950)), "The frontend ports from 50000 to 55000 are reserved."),
        (_network(_nat(start=55000)), "The frontend ports from 50000 to 55000 are reserved."),
        (_network(_nat(frontendPortRangeEnd=4038)), "at least 40 ports"),
        (_network(_nat(frontendPortRangeEnd=3000)), "at least 40 ports"),
        (_network(_nat(), _nat("web", 80, 4099)), "cannot overlap"),
        (_network(_nat(), _nat("web", 22, 6000)), "The backend ports of the endpoints of a pool must be unique."),
        (_network(_nat(), _nat("ssh", 80, 6000)), "The names of the endpoints of a pool must be unique."),
        (_network(_nat("-ssh")), "should match pattern"),
        (_network(_nat("a" * 78)), "should match pattern"),
        (_network(_nat(networkSecurityGroupRules=[RULE, RULE])), "The priorities of the endpoints"),
        (_network(_nat(networkSecurityGroupRules=[RULE | {"priority": 149}])), "greater than or equal to 150"),
        (
            _network(_nat(networkSecurityGroupRules=[RULE | {"priority": 200 + n} for n in range(26)])),
            "at most 25 network security group rules",
        ),
        (
            _network(_nat(), publicIPAddressConfiguration={"provision": "NoPublicIPAddresses"}),
            "cannot have an endpoint configuration",
        ),
    ],
)
def test_a_bad_endpoint_is_refused(batch: Batch, network: dict[str, Any], reason: str) -> None:
    answer = batch.put("nightly", pool_body(**network))

    assert refusal(answer) == (400, "InvalidPropertyValue")
    assert reason in reasons(answer)["Reason"]


def test_ranges_may_touch_the_reserved_ports_and_each_other(batch: Batch) -> None:
    network = _network(_nat(start=49900), _nat("web", 80, 55001), _nat("more", 81, 55101))

    assert batch.put("nightly", pool_body(**network)).status_code == 200


@pytest.mark.parametrize(("version", "status"), [("2024-02-01", 400), ("2024-07-01", 200), ("2025-06-01", 200)])
def test_older_versions_keep_the_ports_of_remote_access_to_themselves(batch: Batch, version: str, status: int) -> None:
    assert batch.put("nightly", pool_body(**_network(_nat(port=3389))), version=version).status_code == status


def test_the_network_cannot_change_while_there_are_nodes(batch: Batch) -> None:
    batch.make("nightly", pool_body(1))

    assert refusal(batch.patch("nightly", {"properties": _network(_nat())})) == (409, "PropertyCannotBeUpdated")


def _size(batch: Batch) -> tuple[int, int, list[str]]:
    pool = batch.get("nightly")
    codes = [error["code"] for error in pool["resizeOperationStatus"].get("errors", [])]
    return pool["currentDedicatedNodes"], pool["currentLowPriorityNodes"], codes


def test_nat_pools_may_lower_the_number_of_nodes(batch: Batch) -> None:
    batch.change(inbound_nat_node_limit=5)
    batch.make("nightly", pool_body(4, 4, **_network(_nat())))

    assert _size(batch) == (4, 1, ["AllocationFailed"])


@pytest.mark.parametrize(
    ("addresses", "wanted", "expected"),
    [
        (2, (150, 50), (150, 0, ["AllocationFailed"])),
        (3, (150, 50), (150, 50, [])),
        (1, (101, 0), (100, 0, ["AllocationFailed"])),
    ],
)
def test_each_public_address_is_for_a_hundred_nodes_of_one_kind(
    batch: Batch, addresses: int, wanted: tuple[int, int], expected: tuple[int, int, list[str]]
) -> None:
    ids = [
        f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/{n}" for n in range(addresses)
    ]
    network = {"publicIPAddressConfiguration": {"provision": "UserManaged", "ipAddressIds": ids}}
    batch.make("nightly", pool_body(*wanted, networkConfiguration=network))

    assert _size(batch) == expected


def test_inter_node_communication_counts_both_kinds_of_nodes(batch: Batch) -> None:
    batch.make("nightly", pool_body(80, 40, interNodeCommunication="Enabled"))
    first = _size(batch)
    batch.patch("nightly", scale(100, 0))
    batch.wait(minutes=10)

    assert first == (80, 20, ["CommunicationEnabledPoolReachedMaxVMCount"])
    assert _size(batch) == (100, 0, [])
