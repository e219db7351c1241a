"""Bringing an image version into its regions: what to do next, and for which pools.

Rules: "Troubleshoot shared images in Azure" (of a failed region: retry, then remove it and add it back), "Use the Azure
Compute Gallery to create a custom image pool" (one replica per 300 nodes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from golden_pools.rules.facts import ImageVersion
from golden_pools.rules.plan import RunPlan, account_id, definition_id, definition_of, is_made_by_a_run
from golden_pools.spec.image import Publish
from golden_pools.spec.limits import largest_targets
from golden_pools.spec.model import PoolSpec

PAUSES = (timedelta(minutes=5), timedelta(minutes=15), timedelta(minutes=45))
"""Before a region that failed is asked for again; after the last of them it is given up."""


class Step(StrEnum):
    """What brings a version on."""

    DONE = "done"
    WAIT = "wait"
    ASK = "ask"
    PUT_BACK = "put_back"
    PAUSE = "pause"
    GIVE_UP = "give_up"


@dataclass(frozen=True, kw_only=True)
class Next:
    """The next step.

    :param regions: replicas by region that the version is to get now, for ``ASK`` and ``PUT_BACK``; else those that it
        lacks
    """

    step: Step
    regions: Mapping[str, int] = field(default_factory=dict)


def next_step(
    version: ImageVersion, wanted: Mapping[str, int], *, before: Mapping[str, int], asked: int, paused: int
) -> Next:
    """Return what to do about a version that is to be in the ``wanted`` regions.

    Regions are added and replicas raised, and nothing is ever taken away that was there before: another pool may need
    it. A region that fails is put back to what it was, because a version with a failed region serves nobody, and is
    asked for again after a pause. No new version is made for it.

    :param before: replicas by region before the first ask
    :param asked: how often the regions were asked for
    :param paused: after which ask there was a pause already
    """
    if version.is_busy:
        return Next(step=Step.WAIT)
    has = version.target_regions
    failed = {one.region for one in version.regions if one.state == "Failed" and one.region in wanted}
    if any(has.get(region, 0) > before.get(region, 0) for region in failed):
        kept = {region: before.get(region, 0) if region in failed else count for region, count in has.items()}
        return Next(step=Step.PUT_BACK, regions={region: count for region, count in kept.items() if count})
    lacks = {region: count for region, count in wanted.items() if region in failed or has.get(region, 0) < count}
    if not lacks and version.provisioning_state != "Failed":
        return Next(step=Step.DONE)
    if asked > len(PAUSES):
        return Next(step=Step.GIVE_UP, regions=lacks)
    if asked > paused:
        return Next(step=Step.PAUSE, regions=lacks)
    more = {region: max(count, has.get(region, 0)) for region, count in wanted.items()}
    return Next(step=Step.ASK, regions={**has, **more})


def wanted_replicas(plan: RunPlan, version: ImageVersion) -> dict[str, int]:
    """Return the replicas by region that the spec wants of a version; none where it is not the spec's to say."""
    is_its_own = is_of_the_spec(plan.spec, version.id) and is_made_by_a_run(version.tags)
    return plan.replicas(version.location) if is_its_own else {}


def is_of_the_spec(spec: PoolSpec, version_id: str) -> bool:
    """Return whether a version lies where the spec's own runs make versions."""
    makes_versions = spec.image.source.kind.makes_images and spec.image.publish is Publish.GALLERY
    return makes_versions and version_id.casefold().startswith(f"{definition_id(spec)}/versions/".casefold())


def added_replicas(plan: RunPlan, version: ImageVersion) -> dict[str, int]:
    """Return the replicas by region that the spec wants of a version, where it has fewer."""
    wanted = wanted_replicas(plan, version)
    return {region: count for region, count in wanted.items() if version.target_regions.get(region, 0) < count}


def first_replicas(plan: RunPlan, home: str) -> dict[str, int]:
    """Return the replicas that a new version begins with: those that the pool itself waits for.

    Azure may call a version ``Succeeded`` only when its last region has it, so the others are added later.

    :param home: normalised region of the source
    """
    return {
        region: count
        for region, count in plan.replicas(home).items()
        if plan.pool_region is None or region in (home, plan.pool_region)
    }


def nodes_elsewhere(pool: str, specs: Mapping[str, PoolSpec]) -> dict[str, int]:
    """Return the nodes of the other pools on a pool's image at their largest, by lower-case ARM id of their account."""
    own = definition_of(specs[pool], specs)
    if own is None or not specs[pool].image.source.kind.makes_images:
        return {}
    nodes: Counter[str] = Counter()
    for name, spec in specs.items():
        if name != pool and (definition_of(spec, specs) or "").casefold() == own.casefold():
            nodes[account_id(spec).lower()] += largest_targets(spec).total
    return dict(nodes)
