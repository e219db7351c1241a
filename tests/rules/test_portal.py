"""Addresses in the Azure portal."""

from __future__ import annotations

import pytest
from golden_pools.hooks.connection import CLOUDS, AzureConnection
from golden_pools.rules.portal import PORTALS, portal_url

GROUP = "/subscriptions/0000/resourceGroups/images"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/golden-vm"
ACCOUNT = f"{GROUP}/providers/Microsoft.Batch/batchAccounts/goldenbatch"


@pytest.mark.parametrize(
    ("cloud", "portal"),
    [
        ("AzurePublicCloud", "https://portal.azure.com"),
        ("AzureUSGovernment", "https://portal.azure.us"),
        ("AzureChinaCloud", "https://portal.azure.cn"),
    ],
)
def test_every_cloud_has_its_portal(cloud: str, portal: str) -> None:
    assert portal_url(VM, cloud) == f"{portal}/#resource{VM}"


def test_the_clouds_of_connections_are_those_of_portals() -> None:
    assert {cloud.name for cloud in CLOUDS} == PORTALS.keys()


def test_a_resource_group_has_a_page() -> None:
    assert portal_url(f"{GROUP}/", "AzurePublicCloud") == f"https://portal.azure.com/#resource{GROUP}"


def test_a_pool_is_found_by_its_account() -> None:
    assert portal_url(f"{ACCOUNT}/pools/render", "AzurePublicCloud") == f"https://portal.azure.com/#resource{ACCOUNT}"
    assert portal_url(f"{ACCOUNT.lower()}/pools/render", "AzurePublicCloud").endswith(ACCOUNT.lower())


def test_what_does_not_belong_into_an_address_is_quoted() -> None:
    name = f"{GROUP} (old)/providers/Microsoft.Compute/images/a#b"
    assert portal_url(name, "AzurePublicCloud").endswith("/images%20(old)/providers/Microsoft.Compute/images/a%23b")


def test_a_connection_knows_its_portal_and_tenant() -> None:
    connection = AzureConnection.parse("azure", extra={"cloud_environment": "AzureUSGovernment"})
    assert connection.portal_url(VM) == f"https://portal.azure.us/#resource{VM}"
    connection = AzureConnection.parse("azure", extra={"tenantId": "11-22"})
    assert connection.portal_url(VM) == f"https://portal.azure.com/#@11-22/resource{VM}"


def test_a_simulator_has_no_portal() -> None:
    connection = AzureConnection.parse("azure", extra={"arm_endpoint": "http://127.0.0.1:8899"})
    assert connection.portal_url(VM) is None
