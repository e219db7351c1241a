"""Core quotas and the SKU list of a region, as preflight checks read them."""

from __future__ import annotations

from pydantic import JsonValue

from include.azure_simulator.compute.machines import PowerState
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.compute.world import ComputeWorld
from include.azure_simulator.resources import JsonObject, normalise_region

_DEFAULT_FAMILY_QUOTA = 100


def usages(compute: ComputeWorld, subscription: str, location: str) -> list[JsonValue]:
    """The usages of a region: all cores, and the cores of each VM family. VMs that are deallocated use none."""
    sizes = compute.vm_sizes(location)
    quotas = compute.section.core_quotas
    used: dict[str, int] = {}
    machines = [m for m in compute.machines.within(subscription) if m.location == normalise_region(location)]
    for machine in machines:
        size = sizes.get(machine.section.size.lower())
        if size is not None and machine.power_state is not PowerState.DEALLOCATED:
            used[size.family] = used.get(size.family, 0) + size.vcpus
            used["cores"] = used.get("cores", 0) + size.vcpus
    families = sorted({size.family for size in sizes.values()})
    return [
        _usage("cores", "Total Regional vCPUs", used.get("cores", 0), quotas.get("cores", _DEFAULT_FAMILY_QUOTA)),
        _usage("virtualMachines", "Virtual Machines", len(machines), 25_000),
        *(
            _usage(name, f"{name} vCPUs", used.get(name, 0), quotas.get(name, _DEFAULT_FAMILY_QUOTA))
            for name in families
        ),
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
