"""The writes of a run up to the image version, and its replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from golden_pools.rules.capture import AT_REST, found_state
from golden_pools.rules.facts import GoldenVm, PowerState
from golden_pools.rules.intentions.action import Action, change, delete, make
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.preflight import Observations
from golden_pools.rules.replication import added_replicas, first_replicas
from golden_pools.rules.restore_point import point_id
from golden_pools.rules.source import Road, System, road_for
from golden_pools.spec.image import Publish
from golden_pools.spec.source import Capture, Generalize
from golden_pools.words import counted


def image_intentions(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    """Yield the writes from the source to the image version."""
    vm, system = seen.golden_vm, _captured(plan, seen)
    if system is None:
        return
    made_from = plan.source.reason if plan.source else ""
    if plan.spec.golden_vm is not None and vm is not None:
        yield from _snapshots(plan, vm)
        made_from = counted(len(vm.disks), "snapshot")
        if plan.golden_vm.generalize is Generalize.CLONE:
            yield make("clone_vm", f"create, from {made_from}", plan.clone_id)
            yield change("generalize_clone", "generalize by a script, deallocate, flag as generalized", plan.clone_id)
            made_from = "the clone"
    if road_for(plan.spec, system) is Road.MANAGED_IMAGE and not plan.given_image_id:
        yield make("managed_image", f"create, from {made_from}", plan.managed_image_id)
        made_from = ""
    if plan.spec.image.publish is Publish.MANAGED_IMAGE:
        return
    if seen.definition is None:
        features = ", ".join(f"{name} {value}" for name, value in system.features.items())
        what = f"create: {system.os_type}, generation {system.generation}, generalized, {features}"
        yield make("publish", what, plan.definition_id)
    source = f", from {made_from}" if made_from else ""
    replicas = _counts(first_replicas(plan, system.location))
    yield make("publish", f"create{source}", plan.version_id, f"replicas: {replicas}")
    if plan.spec.golden_vm is not None and plan.golden_vm.generalize is Generalize.CLONE:
        yield delete("remove_clone", "delete, with its disks and network card", plan.clone_id)


def _captured(plan: RunPlan, seen: Observations) -> System | None:
    if seen.golden_vm is not None:
        return System.of_vm(seen.golden_vm)
    return plan.source.system if plan.source else None


def _snapshots(plan: RunPlan, vm: GoldenVm) -> Iterator[Action]:
    capture = plan.golden_vm.capture
    stops = capture.stops and vm.power_state not in AT_REST
    state = vm.power_state.value
    if capture is Capture.RESTORE_POINT:
        taken = f"take of VM {vm.name}, and make a disk of each of its {len(vm.disks)} disks"
        yield make("restore_point", taken, point_id(plan))
    if stops:
        is_only_stopped = capture is Capture.STOPPED
        what, after = ("power off", "stopped") if is_only_stopped else ("deallocate", "deallocated")
        yield change("stop_golden_vm", what, vm.id, state, after)
        state = after
    for disk in vm.disks:
        size = f"{disk.size_gib} GiB" if disk.size_gib is not None else ""
        yield make("snapshot", f"create, a copy of disk {disk.name}", plan.snapshot_id(disk.lun), size)
    if stops and found_state(vm.power_state) is PowerState.RUNNING:
        yield change("start_golden_vm", "start", vm.id, state, PowerState.RUNNING.value)
    if capture is Capture.RESTORE_POINT:
        yield delete("remove_restore_point", "delete, with its disks", point_id(plan))


def replica_intentions(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    """Yield what brings the version to the spec's other regions."""
    if plan.builds_image:
        system = _captured(plan, seen)
        if system is None or not plan.is_versioned:
            return
        has = first_replicas(plan, system.location)
        added = {region: n for region, n in plan.replicas(system.location).items() if region not in has}
    else:
        has = dict(seen.image_version.target_regions) if seen.image_version else {}
        added = added_replicas(plan, seen.image_version) if seen.image_version else {}
    if added:
        yield change("replicate", "have more replicas", plan.version_id, _counts(has), _counts({**has, **added}))


def _counts(replicas: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {region}" for region, count in replicas.items())
