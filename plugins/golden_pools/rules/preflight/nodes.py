"""Checks of what runs on the nodes: does the VM size boot the image, does the node agent fit its system.

Azure compares neither when the pool is made: a wrong generation shows as a failed resize, a wrong node agent as
unusable nodes. Sources: "Azure Batch pool resizing failure", "Use the Azure Compute Gallery to create a custom image
pool".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from golden_pools.rules.facts import SupportedImage, VmSize
from golden_pools.rules.preflight.batch import NOTICE
from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.source import System

SLOTS_PER_CORE = 4
MOST_SLOTS = 256

COMPUTE_SIZE = (Lookup.ACCOUNT, Lookup.VM_SIZES)
NODE_AGENT = (Lookup.ACCOUNT, Lookup.SUPPORTED_IMAGES)


@dataclass(frozen=True)
class _Traits:
    """What a node has to boot: of the source, or of the definition of a version that is there."""

    os_type: str | None
    generation: str
    architecture: str
    controllers: str | None  # None: not known
    trusted_launch: bool


def _traits(case: Case) -> _Traits | None:
    definition = case.seen.definition
    if (system := case.captured) is not None:
        disk = case.seen.golden_vm.os_disk if case.seen.golden_vm else None
        controllers = ",".join(disk.controller_types) if disk else ""
        controllers = controllers or ("NVMe" if system.nvme else "SCSI")
    elif not case.plan.builds_image and definition:
        system, controllers = System.of_definition(definition), definition.disk_controllers
    else:
        return None
    return _Traits(
        system.os_type, system.generation, system.architecture, controllers or None, system.trusted_launch is True
    )


def _compute_size(case: Case) -> VmSize | None:
    return case.seen.vm_sizes.get(case.plan.spec.pool.vm_size.casefold())


@check(needs=COMPUTE_SIZE)
def vm_size_generation(case: Case) -> Iterator[Finding]:
    """Does the VM size boot the image's generation?"""
    size, image = _compute_size(case), _traits(case)
    if size and image and size.generations and image.generation not in size.generations:
        yield case.error(
            f"{size.name} boots {', '.join(size.generations)}, the image is {image.generation}",
            "choose a pool.vm_size that boots the image's generation, or a golden VM of the other one",
            case.az.compute_size(case.account.location),
        )


@check(needs=COMPUTE_SIZE)
def vm_size_architecture(case: Case) -> Iterator[Finding]:
    """Has the VM size the image's architecture?"""
    size, image = _compute_size(case), _traits(case)
    if size and image and size.architecture and size.architecture.casefold() != image.architecture.casefold():
        yield case.error(
            f"{size.name} is {size.architecture}, the image is {image.architecture}",
            "choose a pool.vm_size of the image's architecture",
            case.az.compute_size(case.account.location),
        )


@check(needs=COMPUTE_SIZE)
def vm_size_disk_controller(case: Case) -> Iterator[Finding]:
    """Does the image boot from the VM size's disk controllers?"""
    size, image = _compute_size(case), _traits(case)
    if not (size and image and size.disk_controllers and image.controllers):
        return
    offered = {kind.strip().casefold() for kind in size.disk_controllers}
    usable = {kind.strip().casefold() for kind in image.controllers.split(",")}
    if not offered & usable:
        yield case.error(
            f"{size.name} has {', '.join(size.disk_controllers)} disk controllers, the image boots from "
            f"{image.controllers}",
            "choose a pool.vm_size with the image's disk controller",
            case.az.compute_size(case.account.location),
        )


@check(needs=COMPUTE_SIZE)
def vm_size_trusted_launch(case: Case) -> Iterator[Finding]:
    """Can the VM size do Trusted Launch, if the image needs it?"""
    size, image = _compute_size(case), _traits(case)
    if size and image and image.trusted_launch and not size.trusted_launch:
        yield case.error(
            f"{size.name} cannot do Trusted Launch, the image has security type TrustedLaunch",
            "choose a pool.vm_size with Trusted Launch, or make the image of a VM with security type Standard",
            case.az.compute_size(case.account.location),
        )


@check(needs=(Lookup.ACCOUNT, Lookup.BATCH_VM_SIZES))
def task_slots(case: Case) -> Iterator[Finding]:
    """Are the task slots within min(4 x cores, 256)?"""
    name, slots = case.plan.spec.pool.vm_size, case.plan.spec.pool.task_slots_per_node
    size = case.size(name)
    if size and size.vcpus and slots > (most := min(SLOTS_PER_CORE * size.vcpus, MOST_SLOTS)):
        yield case.error(
            f"{slots} task slots on {size.name} with {size.vcpus} cores",
            f"set pool.task_slots_per_node to {most} or less",
            case.az.batch_size(case.account.location),
        )


def _rows(case: Case) -> list[SupportedImage]:
    """Return Batch's rows for the spec's node agent."""
    sku = case.plan.spec.pool.node_agent_sku.casefold()
    return [image for image in case.seen.supported_images if image.node_agent_sku.casefold() == sku]


def _az(case: Case) -> str:
    sku = case.plan.spec.pool.node_agent_sku
    return case.az.supported_images(case.account.endpoint, f"[?nodeAgentSkuId=='{sku}']")


@check(needs=NODE_AGENT)
def node_agent_known(case: Case) -> Iterator[Finding]:
    """Does Batch know the node agent SKU?"""
    if not _rows(case):
        yield case.error(
            f"Batch does not list the node agent {case.plan.spec.pool.node_agent_sku}",
            "correct pool.node_agent_sku; Batch lists: "
            + ", ".join(sorted({image.node_agent_sku for image in case.seen.supported_images})),
            case.az.supported_images(case.account.endpoint, "[].nodeAgentSkuId"),
        )


@check(needs=NODE_AGENT)
def node_agent_system(case: Case) -> Iterator[Finding]:
    """Is the node agent made for the image's system (Linux or Windows)?"""
    image, systems = _traits(case), sorted({row.os_type for row in _rows(case)})
    if image and image.os_type and systems and image.os_type.casefold() not in {one.casefold() for one in systems}:
        yield case.error(
            f"{case.plan.spec.pool.node_agent_sku} is for {', '.join(systems)}, the image is {image.os_type}",
            "correct pool.node_agent_sku",
            _az(case),
        )


@check(needs=(Lookup.GOLDEN_VM, *NODE_AGENT))
def node_agent_base_image(case: Case) -> Iterator[Finding]:
    """Is the node agent one that Batch lists for the golden VM's base image?"""
    base = case.vm.base_image
    agents = sorted({row.node_agent_sku for row in case.seen.supported_images if base and row.is_base(base)})
    wanted = case.plan.spec.pool.node_agent_sku
    if base and _rows(case) and agents and wanted.casefold() not in {agent.casefold() for agent in agents}:
        yield case.error(
            f"{wanted} with an image from {base.publisher}:{base.offer}:{base.sku}; Batch lists {', '.join(agents)}",
            f"set pool.node_agent_sku: {agents[0]}; nodes with another agent end unusable",
            _az(case),
        )


@check(needs=NODE_AGENT)
def node_agent_end_of_support(case: Case) -> Iterator[Finding]:
    """Does Batch still support the node agent with this base image, and in 90 days as well?"""
    rows, vm = _rows(case), case.seen.golden_vm
    rows = [row for row in rows if vm and vm.base_image and row.is_base(vm.base_image)] or rows
    ends = [row.support_ends for row in rows]
    if not ends or None in ends:
        return
    last = max(end for end in ends if end)
    sku, advice = case.plan.spec.pool.node_agent_sku, "move the golden VM to a newer system and its node agent"
    if last <= case.now:
        yield case.error(f"Batch's support of {sku} ended on {last:%Y-%m-%d}", advice, _az(case))
    elif last <= case.now + NOTICE:
        yield case.warning(f"Batch's support of {sku} ends on {last:%Y-%m-%d}", advice, _az(case))
