"""What Azure allows in numbers, for a spec that is well-formed: the same for a file and for a run's changed targets.

Sources: "Use a managed image to create a custom image pool" (2,500 dedicated or 1,000 Spot nodes), "Batch service
quotas and limits" (2,000 dedicated or 1,000 Spot; 100 or 80 nodes with inter-node communication), "Use the Azure
Compute Gallery to create a custom image pool" (one replica per 300 nodes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError

from golden_pools.spec.document import Location, Remark
from golden_pools.spec.faults import model_faults
from golden_pools.spec.image import Publish
from golden_pools.spec.model import MOST_DEDICATED_NODES, Pool, PoolSpec, Targets

SURE_DEDICATED_NODES = 2000
"""Dedicated nodes on one custom image that all of Microsoft's pages grant."""

SURE_COMMUNICATING_NODES = 80
"""Nodes with inter-node communication that accounts of both allocation modes take."""

SLOTS_PER_CORE = 4

# From the third version on, a size's name says its cores, constrained ones behind a dash: Standard_E8-2s_v5 has 2.
_CORES = re.compile(
    r"^standard_[a-z]+(?P<all>\d+)(-(?P<constrained>\d+))?[a-z]*(_[a-z0-9]+)?_v([3-9]|\d\d)$", re.IGNORECASE
)


def limit_faults(spec: PoolSpec) -> list[Remark]:
    """Return the limits that a spec breaks; a spec from a file breaks none, one whose targets a run changed may.

    The rules are the model's own: the pool is validated again.
    """
    try:
        Pool.model_validate(spec.pool.model_dump())
    except ValidationError as error:
        return model_faults(error, within=("pool",))
    return []


def limit_warnings(spec: PoolSpec) -> list[Remark]:
    """Return what Azure may refuse, or take and then not do as the spec hopes."""
    return [
        *_target_warnings(spec),
        *_replica_warnings(spec),
        *_slot_warnings(spec),
        *_share_warnings(spec),
        *_scale_warnings(spec),
    ]


def largest_targets(spec: PoolSpec) -> Targets:
    """Return the targets with the most nodes that a spec ever says."""
    return max(_all_targets(spec).values(), key=lambda targets: targets.total)


def _all_targets(spec: PoolSpec) -> dict[Location, Targets]:
    """Return every pair of node counts that a spec says, by the place where it says them."""
    at_times: dict[Location, Targets] = {("scale", place): time.targets for place, time in enumerate(spec.scale)}
    return {("pool", "targets"): spec.pool.targets, **at_times}


def _target_warnings(spec: PoolSpec) -> Iterator[Remark]:
    for location, targets in _all_targets(spec).items():
        if targets.dedicated > SURE_DEDICATED_NODES:
            yield Remark(
                (*location, "dedicated"),
                f"found {targets.dedicated:,}; Microsoft's pages disagree whether a pool with a custom image may have "
                f"{SURE_DEDICATED_NODES:,} or {MOST_DEDICATED_NODES:,} dedicated nodes",
            )
    largest = largest_targets(spec).total
    if spec.pool.inter_node_communication and largest > SURE_COMMUNICATING_NODES:
        yield Remark(
            ("pool", "inter_node_communication"),
            f"found true with {largest} nodes; Azure takes {SURE_COMMUNICATING_NODES} in accounts that allocate "
            "pools in your own subscription",
        )
    if not largest:
        yield Remark(("pool", "targets"), "found 0 nodes in all; the pool is kept empty")


def _replica_warnings(spec: PoolSpec) -> Iterator[Remark]:
    image, largest = spec.image, largest_targets(spec)
    if image.publish is not Publish.GALLERY:
        return
    counts: list[tuple[Location, int | str]] = [(("image", "replicas"), image.replicas)]
    counts += [
        (("image", "target_regions", index, "replicas"), region.replicas)
        for index, region in enumerate(image.target_regions)
    ]
    for location, count in counts:
        if isinstance(count, int) and count < largest.replicas:
            yield Remark(
                location,
                f"found {count}; {largest.total:,} nodes need {largest.replicas}, one per 300, or `auto`, "
                "where they are in this region",
            )


def _slot_warnings(spec: PoolSpec) -> Iterator[Remark]:
    slots, size = spec.pool.task_slots_per_node, _CORES.match(spec.pool.vm_size)
    cores = int(size["constrained"] or size["all"]) if size else None
    if cores and slots > cores * SLOTS_PER_CORE:
        yield Remark(
            ("pool", "task_slots_per_node"),
            f"found {slots}; Azure takes {cores * SLOTS_PER_CORE}, {SLOTS_PER_CORE} per core, "
            f"if {spec.pool.vm_size} has the {cores} cores that its name says",
        )


def _share_warnings(spec: PoolSpec) -> Iterator[Remark]:
    shares, targets = spec.resize.smallest_acceptable_share, spec.pool.targets
    kinds = (("dedicated", targets.dedicated, shares.dedicated), ("spot", targets.spot, shares.spot))
    for kind, target, share in kinds:
        if 0 < share * target < 1:
            yield Remark(
                ("resize", "smallest_acceptable_share", kind),
                f"found {share:g}, which is less than one of {target} nodes; one node is asked for all the same",
            )


def _scale_warnings(spec: PoolSpec) -> Iterator[Remark]:
    """Times that never hold: of two that come together, the later in the list does."""
    places = {" ".join(time.cron.split()): place for place, time in enumerate(spec.scale)}
    for place, time in enumerate(spec.scale):
        if (last := places[" ".join(time.cron.split())]) != place:
            yield Remark(
                ("scale", place, "cron"),
                f"found {time.cron}, the time of scale[{last}] too, which holds instead of this one",
            )
