"""Core quotas and the SKU list of a region, as preflight checks read them."""

from __future__ import annotations

from collections import Counter

from pydantic import JsonValue

from include.azure_simulator.compute.machines import PowerState
from include.azure_simulator.compute.sizes import SPOT_CORES, VmSize
from include.azure_simulator.compute.world import ComputeWorld
from include.azure_simulator.resources import JsonObject, normalise_region

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
            used.update({size.family: size.vcpus, "cores": size.vcpus})
    return used


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
