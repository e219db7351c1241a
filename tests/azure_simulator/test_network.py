"""Virtual networks of the world file, and network interfaces."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from arm_client import NETWORK, SUBNET, VM, Arm, error_of, message_of
from pydantic import ValidationError
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

NIC = f"{NETWORK}/networkInterfaces/nic"


def _world(clock: Clock, **network: Any) -> World:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["networks"][0].update(network)
    return World(WorldFile.model_validate(content), clock=clock)


def _addresses(arm: Arm, nic: str = NIC) -> list[str]:
    configurations = arm.get(nic).json()["properties"]["ipConfigurations"]
    return [configuration["properties"]["privateIPAddress"] for configuration in configurations]


def test_the_network_of_the_world_file_and_its_subnet_can_be_read(arm: Arm) -> None:
    network = arm.get(f"{NETWORK}/virtualNetworks/golden-net").json()
    assert network["location"] == "westeurope"
    assert [subnet["name"] for subnet in network["properties"]["subnets"]] == ["builders"]
    subnet = arm.get(SUBNET).json()
    assert (subnet["id"], subnet["properties"]["addressPrefix"]) == (arm.id(SUBNET), "10.0.1.0/24")


def test_networks_subnets_and_interfaces_are_listed(arm: Arm) -> None:
    def names(path: str) -> list[str]:
        return [entry["name"] for entry in arm.get(path).json()["value"]]

    assert names("providers/Microsoft.Network/virtualNetworks") == ["golden-net"]
    assert names(f"{NETWORK}/virtualNetworks/golden-net/subnets") == ["builders"]
    assert names(f"{NETWORK}/networkInterfaces") == ["golden-vm-nic"]
    assert names("resourceGroups/images/providers/Microsoft.Network/virtualNetworks") == []


def test_an_interface_is_made_with_an_address(arm: Arm) -> None:
    answer = arm.put(NIC, arm.interface_body())
    assert (answer.status_code, answer.json()["properties"]["provisioningState"]) == (201, "Updating")
    assert "/providers/Microsoft.Network/locations/westeurope/operations/" in answer.headers["Azure-AsyncOperation"]
    assert arm.done(answer)["status"] == "Succeeded"
    assert arm.get(NIC).json()["properties"]["provisioningState"] == "Succeeded"
    assert _addresses(arm) == ["10.0.1.4"]
    used = arm.get(SUBNET).json()["properties"]["ipConfigurations"]
    assert used == [{"id": arm.id(f"{NIC}/ipConfigurations/ipconfig1")}]


def test_the_same_put_again_keeps_the_address(arm: Arm) -> None:
    arm.done(arm.put(f"{NETWORK}/networkInterfaces/first", arm.interface_body()))
    arm.done(arm.put(NIC, arm.interface_body()))
    arm.done(arm.call("DELETE", f"{NETWORK}/networkInterfaces/first"))
    answer = arm.put(NIC, arm.interface_body())
    assert answer.status_code == 200
    arm.done(answer)
    assert _addresses(arm) == ["10.0.1.5"]


def test_what_was_read_of_an_interface_can_be_put_back(arm: Arm) -> None:
    arm.make_interface("nic")
    answer = arm.put(NIC, arm.get(NIC).json())
    assert answer.status_code == 200, answer.text


def test_an_interface_goes_and_is_gone(arm: Arm) -> None:
    arm.make_interface("nic")
    answer = arm.call("DELETE", NIC)
    assert (answer.status_code, arm.done(answer)["status"]) == (202, "Succeeded")
    assert arm.get(NIC).status_code == 404
    assert arm.call("DELETE", NIC).status_code == 204


def test_the_interface_of_a_vm_cannot_be_deleted(arm: Arm) -> None:
    nic = f"{NETWORK}/networkInterfaces/golden-vm-nic"
    answer = arm.call("DELETE", nic)
    assert error_of(answer) == (400, "NicInUse")
    assert f"is used by existing resource {arm.id(VM)}" in message_of(answer)


def test_the_interface_of_a_vm_cannot_be_that_of_another_one(arm: Arm) -> None:
    body = arm.vm_body()
    body["properties"]["networkProfile"]["networkInterfaces"] = [
        {"id": arm.id(f"{NETWORK}/networkInterfaces/golden-vm-nic")}
    ]
    answer = arm.put("resourceGroups/images/providers/Microsoft.Compute/virtualMachines/clone", body)
    assert error_of(answer) == (400, "NicInUse")


def test_a_subnet_that_does_not_exist_is_refused(arm: Arm) -> None:
    answer = arm.put(NIC, arm.interface_body(f"{SUBNET}-2"))
    assert error_of(answer) == (400, "InvalidResourceReference")
    assert "both resources are in the same region" in message_of(answer)
    assert answer.json()["error"]["details"][0]["code"] == "NotFound"


def test_a_subnet_of_another_region_is_refused(arm: Arm) -> None:
    body = arm.interface_body() | {"location": "northeurope"}
    assert error_of(arm.put(NIC, body)) == (400, "InvalidResourceReference")


def test_a_vm_and_its_interface_are_in_one_region(arm: Arm) -> None:
    body = arm.vm_body()
    body["properties"]["networkProfile"]["networkInterfaces"] = [{"id": arm.id(f"{NETWORK}/networkInterfaces/none")}]
    answer = arm.put("resourceGroups/images/providers/Microsoft.Compute/virtualMachines/clone", body)
    assert error_of(answer) == (400, "InvalidResourceReference")


@pytest.mark.parametrize("reference", ["publicIPAddress", "networkSecurityGroup"])
def test_what_the_simulator_has_none_of_is_refused(arm: Arm, reference: str) -> None:
    body = arm.interface_body()
    target = body["properties"]
    if reference == "publicIPAddress":
        target = target["ipConfigurations"][0]["properties"]
    target[reference] = {"id": arm.id(f"{NETWORK}/{reference}/x")}
    assert error_of(arm.put(NIC, body)) == (400, "InvalidResourceReference")


def test_an_interface_needs_an_ip_configuration(arm: Arm) -> None:
    assert error_of(arm.put(NIC, {"location": "westeurope", "properties": {}})) == (400, "InvalidRequestFormat")


def test_a_full_subnet_has_no_address_left(clock: Clock) -> None:
    world = _world(clock, subnets=[{"name": "builders", "address_prefix": "10.0.1.0/29"}])
    arm = Arm(TestClient(build_app(world)), world)
    for number in range(3):
        arm.make_interface(f"nic-{number}")
    answer = arm.put(NIC, arm.interface_body())
    assert error_of(answer) == (400, "SubnetIsFull")


@pytest.mark.parametrize(
    ("address", "code"), [("10.0.1.4", "PrivateIPAddressInUse"), ("10.0.2.9", "PrivateIPAddressNotInSubnet")]
)
def test_a_static_address_must_be_free_and_in_the_subnet(arm: Arm, address: str, code: str) -> None:
    arm.make_interface("other")
    body = arm.interface_body()
    static = {"privateIPAddress": address, "privateIPAllocationMethod": "Static"}
    body["properties"]["ipConfigurations"][0]["properties"].update(static)
    assert error_of(arm.put(NIC, body)) == (400, code)
    body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = "10.0.1.77"
    arm.done(arm.put(NIC, body))
    assert _addresses(arm) == ["10.0.1.77"]


def test_the_interface_of_a_vm_of_the_world_file_may_have_a_subnet(clock: Clock) -> None:
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["compute"]["virtual_machines"][0]["subnet"] = "golden-net/builders"
    world = World(WorldFile.model_validate(content), clock=clock)
    arm = Arm(TestClient(build_app(world)), world)
    assert _addresses(arm, f"{NETWORK}/networkInterfaces/golden-vm-nic") == ["10.0.1.4"]


@pytest.mark.parametrize(
    ("subnets", "problem"),
    [
        ([{"name": "a", "address_prefix": "192.168.0.0/24"}], "is not in 10.0.0.0/16"),
        ([{"name": "a", "address_prefix": "10.0.1.0/24"}, {"name": "A", "address_prefix": "10.0.2.0/24"}], "not apart"),
        ([{"name": "a", "address_prefix": "10.0.1.0/24"}, {"name": "b", "address_prefix": "10.0.1.0/25"}], "not apart"),
    ],
)
def test_subnets_fit_into_their_network(clock: Clock, subnets: list[dict[str, str]], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        _world(clock, subnets=subnets)
