"""How far a run is that goes on: its snapshots, its version in the regions, its nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from golden_pools.rules.board.facts import Look, PoolLook, RunSeen
from golden_pools.rules.board.looks import pool_in
from golden_pools.rules.board.runs import STATES, UNDER_WAY
from golden_pools.rules.facts import ImageVersion, Snapshot
from golden_pools.rules.outcome import REFRESH
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.resize.curve import Curve, Sample

SNAPSHOT_STAGES = ("image.snapshot",)
VERSION_STAGES = ("image.publish", "replicate")
NODE_STAGES = ("pool.resize", "pool.nodes", "rollback.resize", "resize", "nodes")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one thing is.

    :param what: ``snapshots``, ``replication`` or ``nodes``
    :param percent: None: not known
    """

    what: str
    label: str
    percent: int | None
    text: str


def is_at(run: RunSeen, stages: Iterable[str]) -> bool:
    """Return whether one of these stages is under way."""
    return any(STATES.get(task.state) in UNDER_WAY for id_ in stages if (task := run.tasks.get(id_)))


def plan_of(run: RunSeen) -> RunPlan | None:
    """Return the plan of a run with what it found since; None: there is none, or one of another version of this."""
    written = run.values.get("plan")
    if written is None:
        return None
    found = {"source": run.values["source"]} if run.values.get("source") else {}
    try:
        return RunPlan.model_validate({**written, **found})
    except ValidationError:
        return None


def of_snapshots(stem: str, listed: Iterable[Snapshot]) -> list[Progress]:
    """Return how far the snapshots of a run are.

    :param stem: beginning of their names
    :param listed: all of the resource group
    """
    mine = sorted((one for one in listed if one.name.startswith(f"{stem}-")), key=lambda one: one.name)
    return [
        Progress(
            what="snapshots",
            label=one.name.removeprefix(f"{stem}-").replace("data-", "data disk ").replace("os", "OS disk", 1),
            percent=100 if one.is_complete else _percent(one.completion_percent),
            text="failed" if one.has_failed else "there" if one.is_complete else "is being copied",
        )
        for one in sorted(mine, key=lambda one: (not one.name.endswith("-os"), one.name))
    ]


def of_version(version: ImageVersion | None) -> list[Progress]:
    """Return how far a version is in each of its regions."""
    if version is None:
        return []
    there = {state.region: state for state in version.regions}
    found = []
    for region in version.target_regions or there:
        state = there.get(region)
        percent = state.progress_percent if state else None
        text = state.state.lower() if state else "not begun"
        found.append(
            Progress(
                what="replication",
                label=region,
                percent=100 if state and state.state == "Completed" else _percent(percent),
                text=f"{text}: {state.details}" if state and state.details else text,
            )
        )
    return found


def of_nodes(pool: str, seen: PoolLook | None, target: int) -> list[Progress]:
    """Return how far the nodes of a pool are."""
    if seen is None:
        return []
    more = f", {seen.bad} bad" if seen.bad else ""
    return [
        Progress(
            what="nodes",
            label=pool,
            percent=100 if seen.ready >= target else _percent(100 * seen.ready / target),
            text=f"{seen.ready} of {target} ready, {seen.on_their_way} starting{more}",
        )
    ]


def _percent(value: float | None) -> int | None:
    return None if value is None else max(0, min(100, int(value)))


def pool_of_run(pool: str, run: RunSeen, account: Look | None) -> PoolLook | None:
    """Return the pool that a run gives nodes: a second one that is on its way, or the one that the spec stands for."""
    second = run.values.get(REFRESH, {}).get("pool")
    return (pool_in(account, str(second), candidates=True) if second else None) or pool_in(account, pool)


def seen_of_run(
    pool: str, run: RunSeen, found: Iterable[Progress], *, account: Look | None, before: Look | None
) -> dict[str, Any]:
    """Return what is kept of a run that goes on: how far it is, and the nodes over the time that somebody looked.

    :param account: last look at the pool's account
    :param before: what was kept before, maybe of another run
    """
    points = before.data["points"] if before and before.data.get("run_id") == run.run_id else []
    curve, seen = Curve(points), pool_of_run(pool, run, account)
    if seen is not None and account is not None and account.at is not None and is_at(run, NODE_STAGES):
        allocated = seen.ready + seen.starting + seen.bad
        at = account.at.replace(microsecond=0)
        curve.see(Sample(at, allocated, seen.ready, seen.on_their_way, seen.bad))
    return {"run_id": run.run_id, "progress": [asdict(one) for one in found], "points": curve.to_list()}


def progress_of(run: RunSeen, look: Look | None) -> list[Progress]:
    """Return what :func:`seen_of_run` kept of how far a run is; nothing of another run."""
    kept = look.data if look and look.data.get("run_id") == run.run_id else {}
    return [Progress(**one) for one in kept.get("progress", ())]


def points_of(run: RunSeen, look: Look | None) -> list[list[Any]]:
    """Return what it kept of the nodes."""
    kept = look.data if look and look.data.get("run_id") == run.run_id else {}
    return list(kept.get("points", ()))
