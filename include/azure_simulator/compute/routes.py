"""Routes of VMs, disks, snapshots, managed images, usages and SKUs."""

from __future__ import annotations

import re
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.compute import usages as quota
from include.azure_simulator.compute.answers import (
    api_version,
    deleted,
    listed,
    paged,
    query,
    started,
    world_of,
    written,
)
from include.azure_simulator.compute.disks import Disk, DiskBody
from include.azure_simulator.compute.image_bodies import ImageBody
from include.azure_simulator.compute.images import ManagedImage
from include.azure_simulator.compute.machines import VirtualMachine
from include.azure_simulator.compute.snapshots import Snapshot, SnapshotBody
from include.azure_simulator.compute.store import TagsBody, compute_id
from include.azure_simulator.compute.vm_bodies import VirtualMachineBody
from include.azure_simulator.compute.vm_writes import delete_machine, put_machine
from include.azure_simulator.compute.vms import RunCommandBody
from include.azure_simulator.resources import JsonObject, normalise_region
from include.azure_simulator.wire import CaseInsensitiveRoute, empty_response, json_response, parse_body, read_object
from include.azure_simulator.world import World

router = APIRouter(route_class=CaseInsensitiveRoute)

_SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Compute"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
_VM = f"{_GROUP}/virtualMachines/{{name}}"
_DISK = f"{_GROUP}/disks/{{name}}"
_SNAPSHOT = f"{_GROUP}/snapshots/{{name}}"
_IMAGE = f"{_GROUP}/images/{{name}}"
_LOCATION_FILTER = re.compile(r"^location eq '([^']+)'$", re.IGNORECASE)


@router.get(f"{_SUBSCRIPTION}/virtualMachines")
@router.get(f"{_GROUP}/virtualMachines")
async def list_vms(request: Request, subscription: str, group: str | None = None) -> Response:
    """The VMs of a subscription or a resource group."""
    world = _scope(request, subscription, group)
    machines = world.compute.machines.within(subscription, group)
    render = partial(VirtualMachine.render, now=world.clock.now(), expand=query(request, "$expand"))
    return paged(request, machines, render, world.settings.compute.list_page_size)


@router.get(_VM)
async def get_vm(request: Request, subscription: str, group: str, name: str) -> Response:
    """One VM, with its instance view when asked for."""
    world = _scope(request, subscription, group)
    machine = world.compute.machines.require(compute_id(subscription, group, "virtualMachines", name))
    return json_response(machine.render(now=world.clock.now(), expand=query(request, "$expand")))


@router.put(_VM)
async def put_vm(request: Request, subscription: str, group: str, name: str) -> Response:
    """Make a VM from disks that exist, or change one. SDKs accept 200 and 201 only."""
    world = world_of(request)
    body = parse_body(VirtualMachineBody, await read_object(request))
    outcome = put_machine(world, compute_id(subscription, group, "virtualMachines", name), body)
    machine = outcome.resource
    status = 201 if outcome.created else 200
    return written(
        request, lambda: machine.render(now=world.clock.now(), expand=None), outcome.operation, status=status
    )


@router.delete(_VM)
async def delete_vm(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a VM; forceDeletion changes nothing here."""
    return deleted(request, delete_machine(world_of(request), compute_id(subscription, group, "virtualMachines", name)))


@router.patch(_VM)
async def patch_vm(request: Request, subscription: str, group: str, name: str) -> Response:
    """Change the tags of a VM."""
    world = _scope(request, subscription, group)
    body = parse_body(TagsBody, await read_object(request))
    machine, operation = world.compute.machines.patch(compute_id(subscription, group, "virtualMachines", name), body)
    return written(request, lambda: machine.render(now=world.clock.now(), expand=None), operation, status=200)


@router.get(f"{_VM}/instanceView")
async def instance_view(request: Request, subscription: str, group: str, name: str) -> Response:
    """The run-time state of a VM."""
    world = _scope(request, subscription, group)
    machine = world.compute.machines.require(compute_id(subscription, group, "virtualMachines", name))
    return json_response(machine.instance_view(world.clock.now()))


@router.get(f"{_VM}/extensions")
async def list_extensions(request: Request, subscription: str, group: str, name: str) -> Response:
    """The extensions of a VM."""
    world = _scope(request, subscription, group)
    machine = world.compute.machines.require(compute_id(subscription, group, "virtualMachines", name))
    return listed([machine.extension(extension) for extension in machine.section.extensions])


@router.post(f"{_VM}/deallocate")
async def deallocate(request: Request, subscription: str, group: str, name: str) -> Response:
    """Deallocate a VM."""
    machines = _scope(request, subscription, group).compute.machines
    return started(request, machines.deallocate(compute_id(subscription, group, "virtualMachines", name)))


@router.post(f"{_VM}/start")
async def start(request: Request, subscription: str, group: str, name: str) -> Response:
    """Start a VM."""
    machines = _scope(request, subscription, group).compute.machines
    return started(request, machines.start(compute_id(subscription, group, "virtualMachines", name)))


@router.post(f"{_VM}/powerOff")
async def power_off(request: Request, subscription: str, group: str, name: str) -> Response:
    """Stop a VM without giving its cores back."""
    machines = _scope(request, subscription, group).compute.machines
    return started(request, machines.power_off(compute_id(subscription, group, "virtualMachines", name)))


@router.post(f"{_VM}/generalize")
async def generalize(request: Request, subscription: str, group: str, name: str) -> Response:
    """Flag a VM as generalized."""
    machines = _scope(request, subscription, group).compute.machines
    machines.generalize(compute_id(subscription, group, "virtualMachines", name))
    return empty_response(200)


@router.post(f"{_VM}/runCommand")
async def run_command(request: Request, subscription: str, group: str, name: str) -> Response:
    """Run a script in the guest of a VM."""
    machines = _scope(request, subscription, group).compute.machines
    body = parse_body(RunCommandBody, await read_object(request))
    return started(request, machines.run_command(compute_id(subscription, group, "virtualMachines", name), body))


@router.get(f"{_SUBSCRIPTION}/disks")
@router.get(f"{_GROUP}/disks")
async def list_disks(request: Request, subscription: str, group: str | None = None) -> Response:
    """The disks of a subscription or a resource group."""
    world = _scope(request, subscription, group)
    disks = world.compute.disks.within(subscription, group)
    return paged(request, disks, partial(_rendered_disk, world), world.settings.compute.list_page_size)


@router.get(_DISK)
async def get_disk(request: Request, subscription: str, group: str, name: str) -> Response:
    """One disk."""
    disks = _scope(request, subscription, group).compute.disks
    return json_response(_disk(request, disks.require(compute_id(subscription, group, "disks", name))))


@router.put(_DISK)
async def put_disk(request: Request, subscription: str, group: str, name: str) -> Response:
    """Create a disk."""
    world = world_of(request)
    body = parse_body(DiskBody, await read_object(request))
    outcome = world.compute.disks.put(compute_id(subscription, group, "disks", name), body)
    status = 202 if outcome.operation else 200
    return written(request, partial(_rendered_disk, world, outcome.resource), outcome.operation, status=status)


@router.patch(_DISK)
async def patch_disk(request: Request, subscription: str, group: str, name: str) -> Response:
    """Change the tags of a disk."""
    disks = _scope(request, subscription, group).compute.disks
    body = parse_body(TagsBody, await read_object(request))
    return json_response(_disk(request, disks.patch_tags(compute_id(subscription, group, "disks", name), body)))


@router.delete(_DISK)
async def delete_disk(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a disk."""
    return deleted(request, world_of(request).compute.disks.delete(compute_id(subscription, group, "disks", name)))


@router.get(f"{_SUBSCRIPTION}/snapshots")
@router.get(f"{_GROUP}/snapshots")
async def list_snapshots(request: Request, subscription: str, group: str | None = None) -> Response:
    """The snapshots of a subscription or a resource group."""
    world = _scope(request, subscription, group)
    snapshots = world.compute.snapshots.within(subscription, group)
    render = partial(_rendered_snapshot, world, api_version(request))
    return paged(request, snapshots, render, world.settings.compute.list_page_size)


@router.get(_SNAPSHOT)
async def get_snapshot(request: Request, subscription: str, group: str, name: str) -> Response:
    """One snapshot."""
    snapshots = _scope(request, subscription, group).compute.snapshots
    found = snapshots.require(compute_id(subscription, group, "snapshots", name))
    return json_response(_rendered_snapshot(world_of(request), api_version(request), found))


@router.put(_SNAPSHOT)
async def put_snapshot(request: Request, subscription: str, group: str, name: str) -> Response:
    """Take a snapshot. SDKs accept 200 and 202 only."""
    world = world_of(request)
    body = parse_body(SnapshotBody, await read_object(request))
    outcome = world.compute.snapshots.put(compute_id(subscription, group, "snapshots", name), body)
    status = 202 if outcome.operation else 200
    render = partial(_rendered_snapshot, world, api_version(request), outcome.resource)
    return written(request, render, outcome.operation, status=status)


@router.patch(_SNAPSHOT)
async def patch_snapshot(request: Request, subscription: str, group: str, name: str) -> Response:
    """Change the tags of a snapshot."""
    snapshots = _scope(request, subscription, group).compute.snapshots
    body = parse_body(TagsBody, await read_object(request))
    changed = snapshots.patch_tags(compute_id(subscription, group, "snapshots", name), body)
    return json_response(_rendered_snapshot(world_of(request), api_version(request), changed))


@router.delete(_SNAPSHOT)
async def delete_snapshot(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a snapshot."""
    snapshots = world_of(request).compute.snapshots
    return deleted(request, snapshots.delete(compute_id(subscription, group, "snapshots", name)))


@router.get(f"{_SUBSCRIPTION}/images")
@router.get(f"{_GROUP}/images")
async def list_images(request: Request, subscription: str, group: str | None = None) -> Response:
    """The managed images of a subscription or a resource group."""
    world = _scope(request, subscription, group)
    images = world.compute.images.within(subscription, group)
    return paged(request, images, ManagedImage.render, world.settings.compute.list_page_size)


@router.get(_IMAGE)
async def get_image(request: Request, subscription: str, group: str, name: str) -> Response:
    """One managed image."""
    images = _scope(request, subscription, group).compute.images
    return json_response(images.require(compute_id(subscription, group, "images", name)).render())


@router.put(_IMAGE)
async def put_image(request: Request, subscription: str, group: str, name: str) -> Response:
    """Create a managed image. SDKs accept 200 and 201 only."""
    world = world_of(request)
    body = parse_body(ImageBody, await read_object(request))
    rid = compute_id(subscription, group, "images", name)
    outcome = world.compute.images.put(rid, body, api_version=api_version(request))
    status = 201 if outcome.created else 200
    return written(request, outcome.resource.render, outcome.operation, status=status)


@router.patch(_IMAGE)
async def patch_image(request: Request, subscription: str, group: str, name: str) -> Response:
    """Change the tags of a managed image."""
    images = _scope(request, subscription, group).compute.images
    body = parse_body(TagsBody, await read_object(request))
    return json_response(images.patch_tags(compute_id(subscription, group, "images", name), body).render())


@router.delete(_IMAGE)
async def delete_image(request: Request, subscription: str, group: str, name: str) -> Response:
    """Delete a managed image."""
    images = world_of(request).compute.images
    return deleted(request, images.delete(compute_id(subscription, group, "images", name)))


@router.get(f"{_SUBSCRIPTION}/locations/{{location}}/usages")
async def list_usages(request: Request, subscription: str, location: str) -> Response:
    """The core quotas of a region."""
    world = _scope(request, subscription, None)
    nodes = world.batch.subscription_cores(subscription, location)
    return json_response({"value": quota.usages(world.compute, subscription, location, nodes)})


@router.get(f"{_SUBSCRIPTION}/skus")
async def list_skus(request: Request, subscription: str) -> Response:
    """The VM sizes of all regions, or of the one in ``$filter=location eq '...'``."""
    world = _scope(request, subscription, None)
    asked = _LOCATION_FILTER.match(query(request, "$filter") or "")
    locations = [normalise_region(asked[1])] if asked else list(world.regions)
    return json_response({"value": quota.skus(world.compute, [name for name in locations if name in world.regions])})


def _scope(request: Request, subscription: str, group: str | None) -> World:
    """The world, when the subscription and the resource group exist."""
    world = world_of(request)
    if group is None:
        world.require_subscription(subscription)
    else:
        world.require_group(subscription, group)
    return world


def _disk(request: Request, disk: Disk) -> JsonObject:
    return _rendered_disk(world_of(request), disk)


def _rendered_disk(world: World, disk: Disk) -> JsonObject:
    return disk.render(vm_deallocated=world.compute.is_deallocated(disk.attached_to))


def _rendered_snapshot(world: World, version: str, snapshot: Snapshot) -> JsonObject:
    """Render without the request: an operation keeps this, and a world can be copied."""
    return snapshot.render(now=world.clock.now(), api_version=version)
