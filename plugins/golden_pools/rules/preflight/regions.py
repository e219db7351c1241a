"""Checks of where a version goes, and with how many replicas.

Sources: "Use the Azure Compute Gallery to create a custom image pool" (a replica per 300 nodes), "Store and share
images in an Azure Compute Gallery" (limits).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from golden_pools.rules.preflight.case import Case, Lookup, check
from golden_pools.rules.preflight.findings import Finding
from golden_pools.rules.replication import wanted_replicas
from golden_pools.words import counted

MOST_REPLICAS = 100
"""Of one version, all regions together."""


@check(needs=(Lookup.ACCOUNT,), building=True)
def planned_replicas(case: Case) -> Iterator[Finding]:
    """Does the Batch region get one replica per 300 nodes?"""
    if case.captured is None or not case.to_gallery:
        return
    planned = case.plan.replicas(case.captured.location).get(case.account.location)
    if planned is not None:
        yield from _few_replicas(case, planned, case.az.account("location"))


@check(needs=(Lookup.IMAGE_VERSION, Lookup.ACCOUNT))
def version_replicas(case: Case) -> Iterator[Finding]:
    """Has the given version one replica per 300 nodes in the Batch region?"""
    replicas = case.version.target_regions.get(case.account.location)
    if replicas is not None:
        yield from _few_replicas(case, replicas, case.az.version("publishingProfile.targetRegions"))


def _few_replicas(case: Case, replicas: int, az: str) -> Iterator[Finding]:
    needed = case.plan.largest.replicas
    if replicas < needed:
        yield case.warning(
            f"{counted(replicas, 'replica')} in {case.account.location} for {case.plan.largest.total} nodes",
            f"set replicas to auto or to {needed}: with fewer, many nodes starting at a time wait or fail",
            az,
        )


@check()
def pools_elsewhere(case: Case) -> Iterator[Finding]:
    """Does the version get to the regions of all other pools on the image, followers included?"""
    targets = _targets(case)
    for account in sorted(case.plan.nodes_elsewhere):
        region = case.plan.regions.get(account)
        if targets and region is not None and region not in targets:
            yield case.warning(
                f"pools of account {account.rpartition('/')[2]} use the image in {region}, but it goes to "
                f"{', '.join(targets)}",
                f"add {region} to image.target_regions: those pools get no node of the version without it",
                case.az.versions(),
            )


@check()
def replica_limit(case: Case) -> Iterator[Finding]:
    """Does Azure take so many replicas of one version?"""
    targets = _targets(case)
    if targets and sum(targets.values()) > MOST_REPLICAS:
        yield case.warning(
            f"{sum(targets.values())} replicas of one version: "
            + ", ".join(f"{count} in {region}" for region, count in targets.items()),
            f"put numbers of at most {MOST_REPLICAS} in all in the place of auto (image.replicas and those of "
            "image.target_regions), or give some of the pools an image of their own: Azure refuses more",
            case.az.versions(),
        )


def _targets(case: Case) -> Mapping[str, int] | None:
    """Return the replicas by region that the version has after the run; None where that is not known."""
    if case.to_gallery:
        return case.plan.replicas(case.captured.location) if case.captured else None
    if (version := case.seen.image_version) is None:
        return None
    wanted = wanted_replicas(case.plan, version)
    return {**version.target_regions, **{at: max(n, version.target_regions.get(at, 0)) for at, n in wanted.items()}}
