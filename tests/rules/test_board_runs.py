"""Runs in words, and their nodes over time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from golden_pools.rules.board.facts import Look, PoolLook, RunSeen, TaskSeen
from golden_pools.rules.board.looks import pool_in, pools_seen, versions_in, versions_seen
from golden_pools.rules.board.progress import of_nodes, of_snapshots, of_version, plan_of, pool_of_run
from golden_pools.rules.board.runs import head, history, series, stages, target_of, under_way, verdict
from golden_pools.rules.facts import (
    AllocationState,
    ImageVersion,
    NodeCounts,
    Pool,
    PoolNodes,
    RegionReplication,
    Snapshot,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)
RUN = RunSeen(
    number=1, dag_id="golden_pool_small", run_id="r", state="success", run_type="scheduled", started=NOW, ended=NOW
)


def run(state: str, tasks: dict[str, str], **changes: Any) -> RunSeen:
    seen = {
        id_: TaskSeen(id=id_, state=word, started=NOW, ended=NOW + timedelta(minutes=place))
        for place, (id_, word) in enumerate(tasks.items())
    }
    return replace(RUN, state=state, tasks=seen, **changes)


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        ("running", {}),
        ("running: image.snapshot", {"plan": "success", "image.snapshot": "deferred"}),
        ("running: pool.resize", {"pool.resize": "running", "replicate": "up_for_retry"}),
        ("retrying: pool.resize", {"pool.resize": "up_for_retry"}),
        ("waits for an answer: approve", {"approve": "awaiting_input"}),
        ("running: a, b, c and 1 more", dict.fromkeys("dcba", "running")),
    ],
)
def test_a_run_that_goes_on_says_where_it_is(words: str, tasks: dict[str, str]) -> None:
    assert under_way(run("running", tasks)) == words


def test_the_cause_is_the_task_that_failed_first_and_not_the_report_of_the_rollback() -> None:
    failed = run(
        "failed",
        {"rollback.report": "failed", "pool.nodes": "failed", "canary.remove": "failed"},
        failures={"pool.nodes": {"what": "too few nodes"}, "rollback.report": {"what": "rolled back"}},
    )

    found = verdict(failed)

    assert found is not None
    assert found.text == "Task pool.nodes failed: too few nodes"


@pytest.mark.parametrize(("resized", "but"), [("success", ""), ("failed", ", but without all its nodes")])
def test_a_rollback_names_the_version_the_reason_and_what_to_do(resized: str, but: str) -> None:
    rolled_back = run(
        "failed",
        {"pool.nodes": "failed", "rollback.restore": "success", "rollback.resize": resized},
        values={"rollback.restore": {"version": "2026.1121.20005", "why": "nodes: too few nodes: starttaskfailed"}},
        failures={
            "pool.nodes": {"what": "too few nodes", "answer": "starttaskfailed", "advice": "read the start task's log"}
        },
    )

    found = verdict(rolled_back)

    assert found is not None
    assert (found.level, found.text) == ("bad", f"Rolled back to 2026.1121.20005{but}: too few nodes")
    assert (found.answer, found.advice) == ("starttaskfailed", "read the start task's log")


@pytest.mark.parametrize(
    ("level", "text", "ready"), [("good", "20 of 20 nodes are ready", 20), ("warn", "18 of 20 nodes are ready", 18)]
)
def test_a_run_that_went_well_says_how_many_nodes_take_work(level: str, text: str, ready: int) -> None:
    values = {
        "pool.resize": {"targets": {"dedicated": 20, "spot": 0}, "verdict": "reached"},
        "pool.nodes": {"dedicated": ready, "spot": 0},
    }

    found = verdict(run("success", {"pool.refresh": "success"}, values=values))

    assert found is not None
    assert (found.level, found.text) == (level, text)


def test_a_failed_task_that_left_no_reason_is_named_all_the_same() -> None:
    found = verdict(run("failed", {"image.publish": "failed"}))

    assert found is not None
    assert (found.text, found.advice) == ("Task image.publish failed: it left no reason", "read the log of the task")


@given(
    st.dictionaries(
        st.sampled_from(["plan", "pool.refresh", "pool.resize", "rollback.restore", "approve", "resize"]),
        st.sampled_from(["success", "failed", "skipped", "running", "deferred", "awaiting_input", "removed", ""]),
    ),
    st.sampled_from(["queued", "running", "success", "failed"]),
)
def test_every_run_can_be_shown(tasks: dict[str, str], state: str) -> None:
    seen = run(state, tasks)

    assert head(seen).outcome_text
    assert len(stages(seen, ["plan", "pool.refresh"], NOW)) == len(tasks)
    assert len(history([seen])) == 1
    assert state != "failed" or verdict(seen) is not None


def test_nodes_over_time_go_on_where_the_tasks_points_end() -> None:
    left = run("running", {}, samples={"pool.resize": [["2026-11-30T06:00:00+00:00", 5, 1, 4, 0]]})
    since = [["2026-11-30T05:59:00+00:00", 9, 9, 0, 0], ["2026-11-30T06:01:00+00:00", 5, 5, 0, 0]]

    assert series(left, since, 5) == {
        "target": 5,
        "points": [["2026-11-30T06:00:00+00:00", 1, 4, 0], ["2026-11-30T06:01:00+00:00", 5, 0, 0]],
    }
    assert series(RUN, (), 5) is None


def pool(name: str, **changes: Any) -> Pool:
    return Pool(
        **{
            "id": f"/a/pools/{name}",
            "name": name,
            "etag": "1",
            "provisioning_state": "Succeeded",
            "allocation_state": AllocationState.STEADY,
            "vm_size": "Standard_D2s_v5",
            "node_agent_sku": None,
            "image_id": "/g/versions/1.0.0",
            "current_dedicated": 3,
            "current_spot": 0,
            "target_dedicated": 3,
            "target_spot": 0,
            "autoscale": False,
            **changes,
        }
    )


def test_of_an_account_the_pool_of_each_spec_is_kept_and_those_on_their_way() -> None:
    second = pool("small-2", metadata={"golden_pools_alias": "small", "golden_pools_role": "candidate"})
    nodes = {"SMALL": PoolNodes(pool="SMALL", dedicated=NodeCounts(by_state={"idle": 2, "unusable": 1}))}

    look = Look(at=NOW, data=pools_seen(["small", "absent"], [pool("small"), second, pool("stranger")], nodes))

    assert pool_in(look, "small") == PoolLook(
        id="/a/pools/small", image_id="/g/versions/1.0.0", asked=3, resizing=False, ready=2, starting=0, bad=1
    )
    assert pool_in(look, "absent") is None
    assert pool_in(look, "stranger") is None
    coming = pool_in(look, "small-2", candidates=True)
    assert coming is not None
    assert coming.starting == 3, "nodes that Azure has not counted yet are on their way"


def version(name: str, **tags: str) -> ImageVersion:
    return ImageVersion(
        id=f"/g/images/d/versions/{name}",
        name=name,
        location="westeurope",
        provisioning_state="Succeeded",
        aggregated_state=None,
        regions=(RegionReplication(region="westeurope", state="Replicating", progress_percent=51),),
        target_regions={"westeurope": 1, "northeurope": 1},
        source_id=None,
        exclude_from_latest=False,
        tags=tags,
        published=NOW,
    )


def test_of_a_definition_the_versions_are_kept_newest_first_without_those_that_are_to_go() -> None:
    listed = [
        version("2026.902.1", **{"golden-pools-verdict": "good"}),
        version("2026.1101.1", **{"golden-pools-verdict": "bad"}),
        version("2026.1102.1"),
        version("2026.801.1", **{"golden-pools-retired": "2026-11-01"}),
    ]

    kept = versions_in(Look(at=NOW, data=versions_seen("/g/images/d", listed)))

    assert [(one.version, one.good) for one in kept] == [
        ("2026.1102.1", None),
        ("2026.1101.1", False),
        ("2026.902.1", True),
    ]
    assert kept[0].id == "/g/images/d/versions/2026.1102.1"
    assert kept[0].made_at == NOW


def test_a_version_tells_of_every_region_that_it_is_to_be_in() -> None:
    told = [(one.label, one.percent, one.text) for one in of_version(version("1.0.0"))]

    assert told == [("westeurope", 51, "replicating"), ("northeurope", None, "not begun")]
    assert of_version(None) == []


def test_of_the_snapshots_those_of_the_run_are_told_the_os_disk_first() -> None:
    def snapshot(name: str, percent: float | None, state: str = "Succeeded") -> Snapshot:
        return Snapshot(
            id=f"/s/{name}",
            name=name,
            location="westeurope",
            source_id=None,
            provisioning_state=state,
            completion_percent=percent,
            size_gib=128,
        )

    listed = [snapshot("small-1-data-0", 40.4), snapshot("small-1-os", None), snapshot("small-10-os", 5)]

    told = [(one.label, one.percent, one.text) for one in of_snapshots("small-1", listed)]

    assert told == [("OS disk", 100, "there"), ("data disk 0", 40, "is being copied")]


def test_nodes_tell_how_many_of_the_target_take_work() -> None:
    seen = PoolLook(id="/p", image_id=None, asked=3, resizing=False, ready=1, starting=1, bad=1)

    (told,) = of_nodes("small", seen, 3)

    assert (told.percent, told.text) == (33, "1 of 3 ready, 1 starting, 1 bad")
    (growing,) = of_nodes("small", replace(seen, asked=5, resizing=True), 5)
    assert growing.text == "1 of 5 ready, 3 starting, 1 bad", "two are still to be brought"
    assert of_nodes("small", replace(seen, ready=0), 0)[0].percent == 100


def test_a_run_that_fills_a_second_pool_is_as_far_as_that_one() -> None:
    first, second = (
        {"id": f"/a/pools/{name}", "image_id": None, "asked": 3, "resizing": False, "ready": ready}
        for name, ready in (("small", 3), ("small-2", 1))
    )
    account = Look(at=NOW, data={"pools": {"small": first}, "candidates": {"small-2": second}})
    filling = replace(RUN, values={"pool.refresh": {"pool": "small-2"}})

    seen = [pool_of_run("small", one, account) for one in (RUN, filling)]

    assert [one.ready for one in seen if one] == [3, 1]


def test_the_target_is_that_of_the_run_and_not_todays() -> None:
    planned = {"plan": {"spec": {"pool": {"targets": {"dedicated": 4, "spot": 1}}}}}

    assert target_of(RUN) is None
    assert target_of(replace(RUN, values=planned)) == 5
    assert target_of(replace(RUN, values={**planned, "pool.resize": {"targets": {"dedicated": 3, "spot": 0}}})) == 3


def test_a_move_that_was_not_approved_says_that_the_pool_stays() -> None:
    found = verdict(run("success", {"approve": "success", "pool.refresh": "skipped"}))

    assert found is not None
    assert (found.level, found.text) == ("warn", "The move was not approved, so the pool stays as it was")


def test_a_plan_of_another_version_of_the_product_is_not_read() -> None:
    assert plan_of(replace(RUN, values={"plan": {"pool": "small", "of": "long ago"}})) is None
