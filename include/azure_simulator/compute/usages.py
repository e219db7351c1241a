"""Core quotas and the SKU list of a region, as preflight checks read them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pydantic import JsonValue

from include.azure_simulator.compute.machines import PowerState
from include.azure_simulator.compute.sizes import SPOT_CORES, VmSize
from include.azure_simulator.compute.store import not_allowed
from include.azure_simulator.resources import JsonObject, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.compute.world import ComputeWorld
    from include.azure_simulator.world import World

_DEFAULT_QUOTA = 100


def quota_of(compute: ComputeWorld, name: str) -> int:
    """The core quota of a VM family, of ``cores`` or of Spot cores in a region."""
    return compute.section.core_quotas.get(name, _DEFAULT_QUOTA)


def used_by_machines(compute: ComputeWorld, subscription: str, location: str) -> Counter[str]:
    """Cores by quota name that VMs use in a region; those that are deallocated use none."""
    sizes = compute.vm_sizes(location)
    used: Counter[str] = Counter()
    for machine in compute.machines.within(subscription):
        size = sizes.get(machine.section.size.lower())
        if machine.location != normalise_region(location) or size is None:
            continue
        if machine.power_state is not PowerState.DEALLOCATED:
            used.update(_cores(size, spot=machine.spot))
    return used


def check_quota(world: World, subscription: str, location: str, size: VmSize, *, spot: bool = False) -> None:
    """Refuse one more VM of a size than the quotas of its region allow.

    :raises ArmError: 409 ``OperationNotAllowed``.
    """
    nodes = world.batch.subscription_cores(subscription, location)
    used = used_by_machines(world.compute, subscription, location) + nodes
    for name, cores in _cores(size, spot=spot).items():
        limit = quota_of(world.compute, name)
        if used[name] + cores > limit:
            shown = "Total Regional" if name == "cores" else name
            raise not_allowed(
                f"Operation could not be completed as it results in exceeding approved {shown} Cores quota. Additional "
                f"details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, Current "
                f"Usage: {used[name]}, Additional Required: {cores}, (Minimum) New Limit Required: "
                f"{used[name] + cores}. Setup Alerts when Quota reaches threshold."
            )


def _cores(size: VmSize, *, spot: bool) -> dict[str, int]:
    return {SPOT_CORES: size.vcpus} if spot else {size.family: size.vcpus, "cores": size.vcpus}


def usages(compute: ComputeWorld, subscription: str, location: str, nodes: Counter[str]) -> list[JsonValue]:
    """The usages of a region: all cores, Spot cores, and the cores of each VM family.

    :param nodes: cores of Batch nodes that live in the subscription.
    """
    machines = [m for m in compute.machines.within(subscription) if m.location == normalise_region(location)]
    used = used_by_machines(compute, subscription, location) + nodes
    families = sorted({size.family for size in compute.vm_sizes(location).values()})
    return [
        _usage("cores", "Total Regional vCPUs", used["cores"], quota_of(compute, "cores")),
        _usage("virtualMachines", "Virtual Machines", len(machines), 25_000),
        _usage(SPOT_CORES, "Total Regional Spot vCPUs", used[SPOT_CORES], quota_of(compute, SPOT_CORES)),
        *(_usage(name, f"{name} vCPUs", used[name], quota_of(compute, name)) for name in families),
    ]


def skus(compute: ComputeWorld, locations: list[str]) -> list[JsonValue]:
    """The VM sizes of regions; Azure lists each region apart."""
    return [_sku(size, location) for location in locations for size in compute.vm_sizes(location).values()]


def _usage(name: str, display: str, current: int, limit: int) -> JsonObject:
    return {
        "unit": "Count",
        "currentValue": current,
        "limit": limit,
        "name": {"value": name, "localizedValue": display},
    }


def _sku(size: VmSize, location: str) -> JsonObject:
    capabilities: dict[str, str] = {
        "MaxResourceVolumeMB": str(size.temp_disk_gib * 1024),
        "OSVhdSizeMB": "1047552",
        "vCPUs": str(size.vcpus),
        "MemoryPreservingMaintenanceSupported": "True",
        "HyperVGenerations": ",".join(sorted(size.generations)),
        "MemoryGB": f"{size.memory_gib:g}",
        "MaxDataDiskCount": str(size.max_data_disks),
        "CpuArchitectureType": size.architecture,
        "LowPriorityCapable": str(size.spot),
        "PremiumIO": str(size.premium_io),
        "VMDeploymentTypes": "IaaS",
        "vCPUsAvailable": str(size.vcpus),
        "EphemeralOSDiskSupported": str(size.ephemeral_os_disk),
        "AcceleratedNetworkingEnabled": str(size.accelerated_networking),
        "EncryptionAtHostSupported": "True",
        "DiskControllerTypes": ",".join(sorted(size.disk_controllers, reverse=True)),
    }
    if not size.trusted_launch:
        capabilities["TrustedLaunchDisabled"] = "True"
    if size.confidential:
        capabilities["ConfidentialComputingType"] = "SNP"
    restricted = location in size.restricted_in
    restriction: JsonObject = {
        "type": "Location",
        "values": [location],
        "restrictionInfo": {"locations": [location]},
        "reasonCode": "NotAvailableForSubscription",
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": size.family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": [*size.zones], "zoneDetails": []}],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
        "restrictions": [restriction] if restricted else [],
    }
