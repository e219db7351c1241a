"""What a run would do, and to which resources: the answer of a plan-only run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from golden_pools.rules.facts import GoldenVm, Pool, PowerState
from golden_pools.rules.plan import ImageVerdict, RunPlan, is_marked
from golden_pools.rules.preflight import Observations
from golden_pools.rules.refresh import drift
from golden_pools.rules.resize import at_target
from golden_pools.spec.model import Capture, Publish


@dataclass(frozen=True)
class Action:
    """One write that the run would make."""

    stage: str
    does: str
    resource: str

    def to_dict(self) -> dict[str, str]:
        """Return the action as JSON."""
        return asdict(self)


def intentions(plan: RunPlan, seen: Observations) -> list[Action]:
    """Return the writes of a run in their order, as far as the present state of Azure tells."""
    actions = list(_image(plan, seen, seen.golden_vm)) if plan.builds_image and seen.golden_vm else []
    present = next((pool for pool in seen.pools if pool.name.lower() == plan.pool.lower()), None)
    return [*actions, *_canary(plan, seen), *_pool(plan, present)]


def _image(plan: RunPlan, seen: Observations, vm: GoldenVm) -> Iterator[Action]:
    stops = plan.spec.golden_vm.capture is Capture.DEALLOCATED and vm.power_state is not PowerState.DEALLOCATED
    if stops:
        yield Action("stop_golden_vm", "deallocate", vm.id)
    for disk in vm.disks:
        yield Action("snapshot", f"create, a copy of disk {disk.name}", plan.snapshot_id(disk.lun))
    if stops and vm.power_state in (PowerState.RUNNING, PowerState.STARTING):
        yield Action("start_golden_vm", "start", vm.id)
    yield Action("managed_image", f"create, from {len(vm.disks)} snapshots", plan.managed_image_id)
    if plan.spec.image.publish is Publish.MANAGED_IMAGE:
        return
    if seen.definition is None:
        yield Action(
            "publish", f"create: {vm.os_disk.os_type}, generation {vm.generation}, generalized", plan.definition_id
        )
    replicas = ", ".join(f"{count} in {region}" for region, count in plan.replicas(vm.location).items())
    yield Action("publish", f"create, replicas: {replicas}", plan.version_id)


def _canary(plan: RunPlan, seen: Observations) -> Iterator[Action]:
    canary, version = plan.spec.canary, seen.image_version
    if not canary.enabled or (version is not None and is_marked(version.tags, ImageVerdict.GOOD)):
        return
    pool = plan.id_of_pool(plan.canary_name)
    yield Action("canary", f"create with one node on {plan.image_id}, run the probes there", pool)
    yield Action("canary", "delete", pool)


def _pool(plan: RunPlan, present: Pool | None) -> Iterator[Action]:
    targets = f"{plan.targets.dedicated} dedicated and {plan.targets.spot} Spot nodes"
    if present is None:
        yield Action("refresh", f"create on {plan.image_id}", plan.pool_id)
        yield Action("resize", f"resize to {targets}", plan.pool_id)
        return
    changes = drift(present, plan)
    shrinks = present.current_total > 0 and any(change.needs_empty_pool for change in changes)
    if shrinks:
        how = plan.spec.refresh.deallocation.value
        yield Action("refresh", f"shrink from {present.current_total} nodes to 0 ({how})", plan.pool_id)
    for change in changes:
        yield Action("refresh", f"change {change}", plan.pool_id)
    if shrinks or not at_target(present, plan.targets):
        nodes = "0" if shrinks else f"{present.current_dedicated} dedicated and {present.current_spot} Spot nodes"
        yield Action("resize", f"resize from {nodes} to {targets}", plan.pool_id)


def render(actions: Sequence[Action]) -> str:
    """Return the actions as lines for the log."""
    width = max((len(action.stage) for action in actions), default=0)
    return "\n".join(
        f"  {action.stage:{width}}  {action.does}\n  {'':{width}}  {action.resource}" for action in actions
    )
