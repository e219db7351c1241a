"""The overview: one row for each pool, those that need a person first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from golden_pools.rules.board.attention import Attention, Case, Nodes, attention
from golden_pools.rules.board.facts import DagSeen, FindingSeen, Look, PoolLook, RunSeen
from golden_pools.rules.board.looks import pool_in, same_image, versions_in
from golden_pools.rules.board.runs import RunHead, head, outcome
from golden_pools.rules.facts import folded
from golden_pools.rules.outcome import Outcome
from golden_pools.rules.plan import RESIZE_DAG_ID, account_id, definition_of, refresh_dag_id
from golden_pools.rules.scale import targets_at
from golden_pools.spec.model import PoolSpec


@dataclass(frozen=True, kw_only=True)
class Known:
    """Everything that the overview is made of, read at once.

    :param specs: all that there are
    :param shown: names of the pools that the viewer may see
    :param dags: by id; one that Airflow does not have is missing
    :param refreshed: newest run that did something, by id of its DAG
    :param planned: newest run that only planned, where it is newer, by id of its DAG
    :param resized: newest run that only resizes, by pool
    :param accounts: looks by connection and folded ARM id of the Batch account
    :param images: looks by connection and folded ARM id of the image definition
    :param watch: findings of the drift watch, by folded ARM id of what they are about
    :param may_trigger: ids of the DAGs that the viewer may trigger
    """

    now: datetime
    specs: Mapping[str, PoolSpec]
    shown: tuple[str, ...]
    dags: Mapping[str, DagSeen]
    refreshed: Mapping[str, RunSeen]
    planned: Mapping[str, RunSeen]
    resized: Mapping[str, RunSeen]
    accounts: Mapping[tuple[str, str], Look]
    images: Mapping[tuple[str, str], Look]
    watch: Mapping[str, tuple[FindingSeen, ...]]
    may_trigger: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Image:
    """The image that a pool is on."""

    version: str
    made_at: datetime | None
    newest: bool | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pool."""

    pool: str
    dag_id: str
    account: str
    subscription: str
    owner: str
    strategy: str
    paused: bool | None
    in_airflow: bool
    target: Mapping[str, int]
    nodes: Nodes | None
    image: Image | None
    run: RunHead | None
    next_run_at: datetime | None
    findings: tuple[FindingSeen, ...]
    attention: Attention
    why: str
    azure: Mapping[str, Any]
    may: Mapping[str, bool]


def rows(known: Known) -> list[Row]:
    """Return the rows in their order."""
    order = list(Attention)
    made = (row(known, pool) for pool in known.shown)
    return sorted(made, key=lambda one: (order.index(one.attention), one.pool.casefold()))


def row(known: Known, pool: str) -> Row:
    """Return the row of one pool."""
    spec, dag_id = known.specs[pool], refresh_dag_id(pool)
    dag = known.dags.get(dag_id)
    in_airflow = dag is not None and not dag.stale
    look = known.accounts.get((spec.connection, folded(account_id(spec))))
    there = pool_in(look, pool)
    target = targets_now(known, pool)
    nodes = _nodes(there, sum(target.values())) if there else None
    image, newest_since = _image(known, spec, there)
    case = Case(
        in_airflow=in_airflow,
        paused=dag.paused if dag else None,
        scheduled=spec.schedule is not None,
        refreshed=known.refreshed.get(dag_id),
        resized=known.resized.get(pool),
        nodes=nodes,
        missing_spot=min(there.preempted, nodes.missing) if there and nodes else 0,
        looked=bool(look and look.at),
        there=there is not None if look and look.at else None,
        newest=image.newest if image else None,
        newest_since=newest_since,
        next_run_at=dag.next_run_at if dag and not dag.paused else None,
        findings=_findings(known, pool, spec, there),
    )
    word, why = attention(case, known.now)
    return Row(
        pool=pool,
        dag_id=dag_id,
        account=spec.pool.account,
        subscription=spec.subscription,
        owner=spec.owner,
        strategy=spec.refresh.strategy.value,
        paused=case.paused,
        in_airflow=in_airflow,
        target=target,
        nodes=nodes,
        image=image,
        run=head(newest) if (newest := newest_run(known, pool)) else None,
        next_run_at=case.next_run_at,
        findings=case.findings,
        attention=word,
        why=why,
        azure={"at": look.at if look else None, "error": look.error if look else None},
        may={"trigger": dag_id in known.may_trigger},
    )


def newest_run(known: Known, pool: str) -> RunSeen | None:
    """Return the newest run of a pool, of whatever kind."""
    dag_id = refresh_dag_id(pool)
    runs = (known.refreshed.get(dag_id), known.planned.get(dag_id), known.resized.get(pool))
    return max((run for run in runs if run is not None), key=lambda run: run.number, default=None)


def targets_now(known: Known, pool: str) -> dict[str, int]:
    """Return the node counts that hold: those of the spec, or of a later run that a person gave others."""
    spec, run = known.specs[pool], known.resized.get(pool)
    refreshed = known.refreshed.get(refresh_dag_id(pool))
    is_last = run is not None and (refreshed is None or run.number > refreshed.number)
    if run is not None and is_last and run.dag_id == RESIZE_DAG_ID and outcome(run) is Outcome.RESIZED:
        asked = run.values.get("resize", {}).get("targets")
        if asked:
            return {"dedicated": int(asked.get("dedicated", 0)), "spot": int(asked.get("spot", 0))}
    return targets_at(spec, known.now).model_dump()


def _nodes(there: PoolLook, target: int) -> Nodes:
    """Return the nodes against the target."""
    return Nodes(
        target=target,
        ready=there.ready,
        starting=there.on_their_way,
        bad=there.bad,
        missing=max(0, target - there.ready - there.on_their_way - there.bad),
    )


def _image(known: Known, spec: PoolSpec, there: PoolLook | None) -> tuple[Image | None, datetime | None]:
    """Return the image that the pool is on, and since when there is the newest good version."""
    if there is None or not there.image_id:
        return None, None
    definition = definition_of(spec, known.specs)
    versions = versions_in(known.images.get((spec.connection, folded(definition)))) if definition else []
    own = next((version for version in versions if same_image(version.id, there.image_id)), None)
    newest = next((version for version in versions if version.good), None)
    image = Image(
        version=there.image_id.rstrip("/").rpartition("/")[2],
        made_at=own.made_at if own else None,
        newest=same_image(newest.id, there.image_id) or _is_newer(versions, there, newest.id) if newest else None,
    )
    return image, newest.made_at if newest else None


def _is_newer(versions: Iterable[Any], there: PoolLook, newest_good: str) -> bool:
    """Return whether the pool is on a version that is newer than the newest good one: its run has yet to judge it."""
    ids = [folded(version.id) for version in versions]
    own = folded(there.image_id or "")
    return own in ids and ids.index(own) < ids.index(folded(newest_good))


def _findings(known: Known, pool: str, spec: PoolSpec, there: PoolLook | None) -> tuple[FindingSeen, ...]:
    """Return what the watch found about the pool and its image, and preflight about its newest run, errors first."""
    definition = definition_of(spec, known.specs)
    subjects = [f"{account_id(spec)}/pools/{pool}", there.id if there else "", definition or ""]
    found = [finding for subject in dict.fromkeys(map(folded, subjects)) for finding in known.watch.get(subject, ())]
    run = known.refreshed.get(refresh_dag_id(pool))
    listed = run.values.get("preflight", {}).get("findings", ()) if run else ()
    found += [
        FindingSeen(
            level=str(one["level"]).lower(), check=str(one["check"]), seen=str(one["seen"]), advice=str(one["advice"])
        )
        for one in listed
    ]
    order = ("error", "warning", "info")
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: order.index(finding.level)))
