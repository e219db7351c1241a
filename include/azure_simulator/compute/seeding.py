"""Puts snapshots, images, galleries and versions of a world file into the stores, as if they had been made long ago."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue

from include.azure_simulator.compute.disks import DiskContent
from include.azure_simulator.compute.galleries import Gallery, ImageDefinition, ImageVersion
from include.azure_simulator.compute.images import ManagedImage
from include.azure_simulator.compute.replicas import Replica
from include.azure_simulator.compute.sections import (
    DefinitionSection,
    GallerySection,
    ImageSection,
    RegionSection,
    SnapshotSection,
    TopLevelSection,
    VersionSection,
)
from include.azure_simulator.compute.snapshots import Snapshot
from include.azure_simulator.compute.store import ProvisioningState, compute_id
from include.azure_simulator.resources import JsonObject, ResourceId, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World

_SUCCEEDED = ProvisioningState.SUCCEEDED


def add_snapshot(world: World, section: SnapshotSection) -> None:
    """Add a snapshot.

    :raises ArmError: when its subscription or resource group does not exist.
    """
    content = DiskContent(
        size_gib=section.size_gib,
        os_type=section.os_type,
        generation=section.generation,
        architecture=section.architecture,
        security_type=section.security_type,
    )
    snapshots = world.compute.snapshots
    snapshot = Snapshot(
        _id(world, section, "snapshots"),
        normalise_region(section.location),
        dict(section.tags),
        _SUCCEEDED,
        sku=section.sku,
        content=content,
        creation_data={"createOption": "Copy", "sourceResourceId": section.source},
        time_created=section.created or world.clock.now(),
        incremental=section.incremental,
        family_id=snapshots.family(section.source) if section.incremental else None,
    )
    snapshots.add(snapshot)


def add_image(world: World, section: ImageSection) -> None:
    """Add a managed image.

    :raises ArmError: when its subscription or resource group does not exist.
    """
    os_disk, *data = section.sources
    properties: JsonObject
    if "/virtualmachines/" in os_disk.lower():
        properties = {"sourceVirtualMachine": {"id": os_disk}}
    else:
        data_disks: list[JsonValue] = [{"lun": lun, **_image_disk(source)} for lun, source in enumerate(data)]
        os_profile: JsonObject = {"osType": section.os_type, "osState": "Generalized", **_image_disk(os_disk)}
        properties = {"storageProfile": {"osDisk": os_profile, "dataDisks": data_disks}}
    world.compute.images.add(
        ManagedImage(
            _id(world, section, "images"),
            normalise_region(section.location),
            dict(section.tags),
            _SUCCEEDED,
            os_type=section.os_type,
            os_state="Generalized",
            hyper_v_generation=section.generation,
            os_disk_gib=section.os_disk_gib,
            data_disks=dict.fromkeys(range(len(data)), section.data_disk_gib),
            source_ids=list(section.sources),
            properties=properties,
        )
    )


def add_gallery(world: World, section: GallerySection) -> None:
    """Add a gallery with its definitions and their versions, which come after all images.

    :raises ArmError: when its subscription or resource group does not exist.
    """
    rid, location = _id(world, section, "galleries"), normalise_region(section.location)
    world.compute.galleries.add(Gallery(rid, location, dict(section.tags), _SUCCEEDED))
    for described in section.definitions:
        definition = _definition(rid, location, described)
        world.compute.definitions.add(definition)
        for version in described.versions:
            world.compute.versions.add(_version(world, definition, version))


def _id(world: World, section: TopLevelSection, kind: str) -> ResourceId:
    subscription = section.subscription or next(iter(world.subscriptions.values())).id
    group = world.require_group(subscription, section.resource_group)
    return compute_id(subscription, group.name, kind, section.name)


def _image_disk(source: str) -> JsonObject:
    return {"managedDisk" if "/disks/" in source.lower() else "snapshot": {"id": source}}


def _definition(gallery: ResourceId, location: str, section: DefinitionSection) -> ImageDefinition:
    return ImageDefinition(
        gallery.child("images", section.name),
        location,
        dict(section.tags),
        _SUCCEEDED,
        os_type=section.os_type,
        os_state=section.os_state,
        hyper_v_generation=section.generation,
        architecture=section.architecture,
        features=dict(section.features),
        identifier=section.identifier or ("simulator", gallery.name, section.name),
        allow_update_image=False,
        properties=dict(section.properties),
    )


def _version(world: World, definition: ImageDefinition, section: VersionSection) -> ImageVersion:
    created = section.created or world.clock.now()
    regions = section.regions or [RegionSection(name=definition.location)]
    origins = (world.compute.origins(source) for source in section.sources)
    return ImageVersion(
        definition.rid.child("versions", section.name),
        definition.location,
        dict(section.tags),
        ProvisioningState(section.state),
        definition=definition,
        clock=world.clock,
        source_ids=list(section.sources),
        storage_profile=_storage_profile(section),
        os_disk_gib=section.os_disk_gib,
        data_disks=dict.fromkeys(range(len(section.sources) - 1), section.data_disk_gib),
        replicas={normalise_region(region.name): _replica(world, section, region, created) for region in regions},
        published=created,
        replica_count=1,
        storage_account_type="Standard_LRS",
        replication_mode="Full",
        exclude_from_latest=section.exclude_from_latest,
        end_of_life=section.end_of_life,
        block_deletion_before_end_of_life=section.block_deletion_before_end_of_life,
        allow_deletion_of_replicated_locations=True,
        base_image=world.compute.base_image(section.sources[0]),
        origins=frozenset().union(*origins),
    )


def _replica(world: World, version: VersionSection, section: RegionSection, created: datetime) -> Replica:
    region = normalise_region(section.name)
    failure = "Failed with internal server error." if version.state == "Failed" else None
    return Replica(
        world.regions[region],
        region,
        section.replicas,
        "Standard_LRS",
        section.exclude_from_latest,
        created,
        created,
        failure=failure,
    )


def _storage_profile(section: VersionSection) -> JsonObject:
    os_source, *data = section.sources
    os_disk: JsonObject = {"hostCaching": "ReadWrite", "sizeInGB": section.os_disk_gib}
    if "/snapshots/" not in os_source.lower() and "/disks/" not in os_source.lower():
        key = "virtualMachineId" if "/virtualmachines/" in os_source.lower() else "id"
        return {"source": {key: os_source}, "osDiskImage": os_disk}
    profile: JsonObject = {"osDiskImage": {**os_disk, "source": {"id": os_source}}}
    if data:
        profile["dataDiskImages"] = [
            {"lun": lun, "hostCaching": "ReadOnly", "sizeInGB": section.data_disk_gib, "source": {"id": source}}
            for lun, source in enumerate(data)
        ]
    return profile
