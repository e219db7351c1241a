"""Answers of the page's server as they may be, at one fixed moment: worlds for the tests of the page alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

NOW = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)
"""The moment at which all of it was answered: half past seven in Berlin."""

VERSION = "2026.1129.10203"
LONG_NAME = "render-farm-of-the-very-large-department-for-moving-pictures-007"
LONGEST_VERSION = "2026.1130.235959"

STAGES = {
    "": ["plan", "source", "preflight"],
    "image": ["stop_golden_vm", "snapshot", "start_golden_vm", "managed_image", "publish"],
    "canary": ["pool", "probe", "mark_bad", "remove"],
    "pool": ["refresh", "resize", "nodes", "probe", "switch", "record", "announce", "retire"],
    "rollback": ["mark_bad", "restore", "resize", "report"],
}


def ago(**before: float) -> str:
    """Return a time before now, as the server writes it."""
    return (NOW - timedelta(**before)).isoformat().replace("+00:00", "Z")


def row(pool: str, **changes: Any) -> Json:
    """Return a pool with which all is well."""
    found = {
        "pool": pool,
        "dag_id": f"golden_pool_{pool}",
        "account": "goldenbatch",
        "subscription": "51a51a51-0000-4000-8000-000000000003",
        "owner": "data-team",
        "strategy": "in_place",
        "paused": False,
        "in_airflow": True,
        "target": {"dedicated": 20, "spot": 0},
        "nodes": {"target": 20, "ready": 20, "starting": 0, "bad": 0, "missing": 0},
        "image": {"version": VERSION, "made_at": ago(hours=5), "newest": True},
        "run": run_head(pool),
        "next_run_at": ago(hours=-18),
        "findings": [],
        "attention": "fine",
        "why": "",
        "azure": {"at": ago(seconds=8), "error": None},
        "may": {"trigger": True},
    }
    return found | changes


def run_head(pool: str, run_id: str = "scheduled__2026-11-30T01:00:00+00:00", **changes: Any) -> Json:
    """Return a run that went well this night."""
    return {
        "run_id": run_id,
        "state": "success",
        "outcome": "refreshed",
        "outcome_text": "refreshed",
        "started_at": ago(hours=5, minutes=30),
        "ended_at": ago(hours=4, minutes=52),
        "run_type": "scheduled",
        "by": None,
        "airflow_path": f"/dags/golden_pool_{pool}/runs/{run_id}",
    } | changes


FINDING = {
    "level": "warning",
    "check": "quota",
    "seen": "the family Dsv5 has 12 of 350 cores left",
    "advice": "ask Azure for 200 more before the pool grows",
}


def failed(pool: str) -> Json:
    """Return a pool whose resize gave up."""
    return row(
        pool,
        nodes={"target": 20, "ready": 12, "starting": 0, "bad": 1, "missing": 7},
        image={"version": "2026.1128.10119", "made_at": ago(days=1, hours=5), "newest": False},
        run=run_head(
            pool,
            state="failed",
            outcome="rolled_back",
            outcome_text="rolled back to 2026.1128.10119 after pool.nodes failed",
        ),
        attention="act",
        why="the run was rolled back: 8 of 20 nodes did not become ready; look at the start task of node tvm-1",
        findings=[FINDING, {**FINDING, "level": "error", "check": "start_task", "seen": "<b>exit code 2</b> on tvm-1"}],
    )


def busy(pool: str) -> Json:
    """Return a pool in mid-run."""
    going = run_head(
        pool,
        state="running",
        outcome="running",
        outcome_text="running: pool.nodes",
        started_at=ago(minutes=21),
        ended_at=None,
    )
    return row(
        pool,
        nodes={"target": 20, "ready": 9, "starting": 8, "bad": 0, "missing": 3},
        strategy="blue_green",
        run=going,
        attention="busy",
        why="a run is on its way: 9 of 20 nodes are ready",
    )


def overview(rows: list[Json], faults: list[Json] | None = None) -> Json:
    """Return the overview's answer."""
    return {"at": ago(), "interval_seconds": 15, "pools": rows, "faults": faults or []}


def mixed() -> list[Json]:
    """Return a row of every kind, with names as long as Azure lets them be."""
    unknown = row(
        "no-answer",
        nodes=None,
        image=None,
        run=None,
        next_run_at=None,
        attention="unknown",
        why="Azure has not been asked yet",
    )
    return [
        failed("nightly"),
        failed(LONG_NAME) | {"account": "a23456789012345678901234"},
        row(
            "weekly",
            attention="look",
            why="its image is 9 days old, and a newer one is there",
            image={"version": LONGEST_VERSION, "made_at": ago(days=9), "newest": False},
            findings=[FINDING],
            paused=True,
            next_run_at=None,
        ),
        busy("render-farm"),
        unknown | {"azure": {"at": None, "error": None}, "in_airflow": False},
        row(
            "small",
            target={"dedicated": 2, "spot": 1000},
            nodes={"target": 1002, "ready": 1002, "starting": 0, "bad": 0, "missing": 0},
        ),
        row(
            "idle",
            target={"dedicated": 0, "spot": 0},
            nodes={"target": 0, "ready": 0, "starting": 0, "bad": 0, "missing": 0},
        ),
    ]


def many(number: int) -> list[Json]:
    """Return as many pools, two of which need a person."""
    return [failed("aa-first"), failed("ab-second"), *(row(f"pool-{index:03}") for index in range(number - 2))]


def stage(task_id: str, begun: float, minutes: float, pool: str, **changes: Any) -> Json:
    """Return a stage that began ``begun`` minutes before now."""
    group, _, name = task_id.rpartition(".")
    return {
        "task_id": task_id,
        "name": name,
        "group": group,
        "state": "success",
        "started_at": ago(minutes=begun),
        "ended_at": ago(minutes=begun - minutes),
        "seconds": minutes * 60,
        "tries": 1,
        "note": None,
        "airflow_path": f"/dags/golden_pool_{pool}/runs/r/tasks/{task_id}",
    } | changes


NOT_RUN = {"started_at": None, "ended_at": None, "seconds": None, "tries": 0}


def stages(pool: str, until: str | None = None, state: str = "running", **later: Any) -> list[Json]:
    """Return the stages of a run up to one that is in another state, with none of the later ones begun."""
    found, begun, passed = [], 40.0, False
    for group, names in STAGES.items():
        for name in names:
            task_id = f"{group}.{name}" if group else name
            here = task_id == until
            skipped = group == "rollback" or name in ("mark_bad", "retire") or task_id == "pool.probe"
            if here:
                ended = {} if state == "failed" else {"ended_at": None, "seconds": None}
                found.append(stage(task_id, begun, 12, pool, state=state, **ended, **later))
            elif passed or skipped:
                unreached = "upstream_failed" if state == "failed" and passed and group == "pool" else "none"
                found.append(
                    stage(task_id, 0, 0, pool, **NOT_RUN, state="skipped" if skipped and not passed else unreached)
                )
            else:
                found.append(stage(task_id, begun, 1.75, pool))
            begun -= 1.75
            passed = passed or here
    return found


def run(pool: str, head: Json, **changes: Any) -> Json:
    """Return a whole run."""
    return head | {"stages": stages(pool), "verdict": None, "progress": [], "series": None, "plan": None} | changes


def series(ready: int = 20) -> Json:
    """Return the nodes of a pool that grows to so many of 20, of which one fails on the way."""
    points = [
        [ago(minutes=20), 0, 0, 0],
        [ago(minutes=17), 0, 8, 0],
        [ago(minutes=14), 5, 12, 0],
        [ago(minutes=11), 12, 7, 1],
    ]
    return {
        "target": 20,
        "points": [*points, [ago(minutes=8), ready, 20 - ready, 0], [ago(minutes=6), ready, 20 - ready, 0]],
    }


def history(pool: str, number: int = 30) -> list[Json]:
    """Return the last runs, one a night, each fifth of which failed."""
    found = []
    for index in range(number):
        bad = index % 5 == 0 and index > 0
        parts = {
            "plan": 2,
            "source": 20,
            "preflight": 40,
            "image": 0 if index % 3 == 2 else 610 + 13 * index,
            "canary": 240,
            "pool": 900 + 40 * (index % 7),
        }
        ending = {"state": "failed", "outcome": "failed", "outcome_text": "failed"} if bad else {}
        head = run_head(
            pool,
            f"scheduled__{index}",
            started_at=ago(days=index, hours=5),
            ended_at=ago(days=index, hours=4),
            **ending,
        )
        found.append(
            head
            | {
                "seconds": sum(parts.values()),
                "stages": parts,
                "nodes_at_target_after_seconds": None if bad else 700 + 11 * index,
                "version": VERSION,
            }
        )
    return found


def line() -> list[Json]:
    """Return the stations of a pool's line."""
    portal = "https://portal.azure.com/#resource/subscriptions/51a51a51/resourceGroups/golden"
    return [
        {"kind": "golden_vm", "name": "golden-vm", "detail": "3 disks, running", "at": None, "portal": f"{portal}/vm"},
        {
            "kind": "snapshots",
            "name": "3 snapshots",
            "detail": "of all disks at one moment",
            "at": ago(hours=5, minutes=20),
            "portal": portal,
        },
        {"kind": "managed_image", "name": "nightly-20261130010203", "detail": "", "at": ago(hours=5), "portal": portal},
        {
            "kind": "version",
            "name": VERSION,
            "detail": "good; in West Europe, North Europe",
            "at": ago(hours=5),
            "portal": portal,
        },
        {
            "kind": "pool",
            "name": "goldenbatch/nightly",
            "detail": "20 of 20 nodes ready",
            "at": ago(hours=4, minutes=52),
            "portal": portal,
        },
    ]


def page(found: Json, newest: Json | None, **changes: Any) -> Json:
    """Return a pool's page."""
    group = "/subscriptions/51a51a51/resourceGroups/images"
    definition = f"{group}/providers/Microsoft.Compute/galleries/golden_gallery/images/small"
    return {
        "row": found,
        "run": newest,
        "history": history(found["pool"]),
        "line": line(),
        "versions": [
            {
                "version": name,
                "id": f"{definition}/versions/{name}",
                "made_at": ago(days=days),
                "good": good,
                "current": not days,
            }
            for name, days, good in ((VERSION, 0, True), ("2026.1128.10119", 1, True), ("2026.1127.10101", 2, False))
        ],
        "links": [{"text": "Batch pool", "url": "https://portal.azure.com/#pool"}],
        "resize_dag_id": "resize_pool",
        "may": {"trigger": True, "resize": True},
    } | changes


def page_in_progress(pool: str = "render-farm") -> Json:
    """Return the page of a pool whose run goes on."""
    found = busy(pool)
    progress = [
        {"what": "replication", "label": "North Europe", "percent": 51, "text": "51 %, 1 of 2 replicas"},
        {"what": "nodes", "label": "Nodes", "percent": 45, "text": "9 of 20 ready, 8 starting"},
    ]
    going = run(pool, found["run"], stages=stages(pool, "pool.nodes", "waiting"), progress=progress, series=series(12))
    return page(found, going)


def page_failed(pool: str = "nightly") -> Json:
    """Return the page of a pool whose resize gave up."""
    found = failed(pool)
    verdict = {
        "level": "bad",
        "text": "gave up: the quota for dedicated cores of the account is used up",
        "answer": "AccountCoreQuotaReached: The specified account has reached its core quota; 12 of 20 nodes",
        "advice": "ask Azure for 32 more cores, or lower `pool.targets.dedicated` to 12",
    }
    note = "12 of 20 ready, 1 bad, 7 missing; asked 3 times"
    head = found["run"] | {"outcome": "failed", "outcome_text": "failed"}
    gone = run(
        pool, head, stages=stages(pool, "pool.resize", "failed", tries=3, note=note), verdict=verdict, series=series(12)
    )
    return page(found | {"run": head}, gone)


def page_planned(pool: str = "small") -> Json:
    """Return the page of a pool whose newest run was plan-only."""
    head = run_head(pool, "manual__1", outcome="plan_only", outcome_text="planned only", run_type="manual", by="maria")
    version = (
        "/subscriptions/51a51a51/resourceGroups/images/providers/Microsoft.Compute/galleries/g/images/small/versions/7"
    )
    quota = {"step": "grow the pool", "quota": "standardDSv5Family", "says": "full_now", "note": "others hold 900"}
    node_hours = {"what": "canary", "per": "run", "currency": "EUR", "hours": 0.4, "gib": None, "amount": 0.09}
    stored = {"what": "image version", "per": "month", "currency": "EUR", "hours": None, "gib": 1024, "amount": None}
    plan = {
        "markdown": "| what |\n|---|",
        "rows": [
            _write("publish", "make", version, "", "2 regions", "make the image version"),
            _write(
                "pool.resize", "resize", "/accounts/goldenbatch/pools/small", "2 nodes", "20 nodes", "resize the pool"
            ),
        ],
        "quota": [quota | {"now": 1200, "needed": 160, "peak": 1360, "limit": 1300}],
        "durations": [],
        "cost": [cost | {"basis": "as the last run took", "partial": True} for cost in (node_hours, stored)],
    }
    return page(row(pool, run=head), run(pool, head, stages=stages(pool, "preflight", "success"), plan=plan))


def _write(stage: str, kind: str, resource: str, before: str, after: str, what: str) -> Json:
    return {"stage": stage, "kind": kind, "resource": resource, "before": before, "after": after, "what": what}
