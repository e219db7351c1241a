"""The passport: one small JSON per image version that grows along the DAG and travels with the asset events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from golden_pools.rules.plan import RunPlan

SCHEMA = 1
"""Version of the passport's shape; a reader of events checks it."""


def new_passport(
    plan: RunPlan,
    *,
    snapshots: Mapping[str, Any] | None,
    managed_image: str | None,
    findings: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Return the passport of the image that a run puts its pool on.

    :param snapshots: the snapshot set; ``None`` where the run used an existing version
    :param managed_image: ARM id of the managed image; ``None`` likewise
    :param findings: preflight's errors and warnings: ``level, check, seen, advice``
    """
    return {
        "passport": SCHEMA,
        "image": plan.image_id,
        "version": plan.image_id.rsplit("/", 1)[-1],
        "built": plan.builds_image,
        "golden_vm": snapshots["golden_vm"] if snapshots else None,
        "snapshots": [snapshots["os"]["snapshot"], *(disk["snapshot"] for disk in snapshots["data"])]
        if snapshots
        else [],
        "managed_image": managed_image,
        "run": {
            "dag": plan.dag_id,
            "id": plan.run_id,
            "triggered_by": plan.triggered_by,
            "stamp": plan.stamp.astimezone(UTC).isoformat(),
        },
        "findings": [dict(finding) for finding in findings],
        "probes": [],
        "pools": [],
    }


def with_probes(passport: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the passport with what probes on nodes of the image came to.

    :param results: by pool: ``{"pool": id, "probes": [{"probe": name, "outcome": ..., "seen": ...}]}``
    """
    probes = [{"pool": result["pool"], **probe} for result in results for probe in result["probes"]]
    return {**passport, "probes": [*passport["probes"], *probes]}


def with_pool(
    passport: Mapping[str, Any], plan: RunPlan, *, refresh: Mapping[str, Any], nodes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the passport with the pool that now runs on the image.

    :param refresh: what the refresh stage did: ``action``, the pool's id, the image that it had before, and its
        targets, if they are not the plan's
    :param nodes: ready nodes by kind at the end of the run
    """
    pool = {
        "id": plan.id_of_pool(refresh["pool"]),
        "name": refresh["pool"],
        "alias": plan.pool,
        "account": plan.spec.pool.account,
        "action": refresh["action"],
        "image_before": refresh["image_before"],
        "targets": refresh.get("targets") or {"dedicated": plan.targets.dedicated, "spot": plan.targets.spot},
        "ready": {kind: nodes[kind] for kind in ("dedicated", "spot")},
    }
    return {**passport, "pools": [*passport["pools"], pool]}
