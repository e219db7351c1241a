"""One pool's page: its run, earlier ones, the line of its image, and how far a run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from golden_pools.rules.plan import make_plan
from golden_pools.spec.loader import load_one
from starlette.testclient import TestClient

from tests.operators.conftest import NEW, OLD, STAMP, Cloud
from tests.ui.conftest import Open, let_time_pass
from tests.ui.seed import NOW, Seed
from tests.ui.static import page_answers
from tests.ui.test_overview import REFRESHED, WENT_WELL, statements

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

RUN = "scheduled__2026-11-22T02:00:05+00:00"


def page(client: TestClient, pool: str = "small") -> dict[str, Any]:
    answer = client.get(f"/golden-pools/api/pools/{pool}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def plan_of(pool: str, run_id: str, **params: Any) -> dict[str, Any]:
    plan = make_plan(
        load_one(pool),
        pool=pool,
        dag_id=f"golden_pool_{pool}",
        run_id=run_id,
        triggered_by="scheduled",
        stamp=STAMP,
        conf={},
        params=params,
    )
    return plan.model_dump(mode="json")


@contextmanager
def serialized(bag: DagBag, dag_id: str) -> Iterator[None]:
    """Let Airflow have a DAG with its tasks."""
    import os

    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
    one = DagBag(dag_folder=os.devnull, bundle_name="dags-folder")
    one.bag_dag(bag.dags[dag_id])
    sync_bag_to_db(one, "dags-folder", None)
    try:
        yield
    finally:
        with create_session() as session:
            session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == dag_id))


@pytest.mark.parametrize("path", ["pools/nothing", "pools/small/runs/nothing"])
def test_what_is_not_there_is_not_found(viewer: TestClient, seed: Seed, path: str) -> None:
    seed.pool("small")

    assert viewer.get(f"/golden-pools/api/{path}").status_code == 404


def test_who_may_not_read_the_dag_gets_the_answer_of_what_is_not_there(login: Open, seed: Seed) -> None:
    seed.pool("small")
    nobody = login("")

    hidden = nobody.get("/golden-pools/api/pools/small")
    absent = nobody.get("/golden-pools/api/pools/nothing")

    assert (hidden.status_code, hidden.json()) == (absent.status_code, absent.json())


def test_the_stages_come_in_the_order_of_the_dag(viewer: TestClient, seed: Seed, dag_bag: DagBag) -> None:
    dag_id = seed.pool("small")
    tasks = {"pool.resize": "success", "image.publish": "success", "plan": "success", "pool.refresh": "success"}
    seed.run(dag_id, "success", {**tasks, "gone_since": "success", "canary.pool": "success"}, results=REFRESHED)

    with serialized(dag_bag, dag_id):
        stages = page(viewer)["run"]["stages"]

    assert [stage["task_id"] for stage in stages] == [
        "plan",
        "image.publish",
        "canary.pool",
        "pool.refresh",
        "pool.resize",
        "gone_since",
    ]
    assert [(stage["group"], stage["name"]) for stage in stages[:2]] == [("", "plan"), ("image", "publish")]


def test_a_stage_says_how_long_it_took_how_often_it_was_tried_and_where_airflow_shows_it(
    viewer: TestClient, seed: Seed
) -> None:
    seed.run(
        seed.pool("small"),
        "running",
        {"plan": "success", "pool.resize": "up_for_retry", "pool.nodes": "none"},
        run_id=RUN,
        minutes=30,
        notes={"pool.resize": "12/20 ready"},
    )

    plan, resize, nodes = page(viewer)["run"]["stages"]

    assert (plan["seconds"], plan["tries"], plan["state"]) == (600.0, 1, "success")
    assert (resize["state"], resize["note"]) == ("retrying", "12/20 ready")
    assert (nodes["state"], nodes["started_at"], nodes["seconds"]) == ("none", None, None)
    assert resize["airflow_path"].startswith(
        "/dags/golden_pool_small/runs/scheduled__2026-11-22T02%3A00%3A05%2B00%3A00"
    )


def test_thirty_runs_can_be_compared(viewer: TestClient, seed: Seed) -> None:
    dag_id = seed.pool("small")
    for night in range(35):
        begun = NOW - timedelta(days=night + 1)
        seed.run(dag_id, "success", WENT_WELL, results=REFRESHED, started=begun, minutes=55)

    history = page(viewer)["history"]

    assert len(history) == 30
    newest = history[0]
    assert newest["version"] == "2026.1124.20005"
    assert newest["stages"] == {
        "plan": 300.0,
        "source": 300.0,
        "preflight": 300.0,
        "image": 600.0,
        "canary": 300.0,
        "pool": 1200.0,
    }
    assert newest["nodes_at_target_after_seconds"] == 2700.0
    starts = [datetime.fromisoformat(run["started_at"]) for run in history]
    assert starts == sorted(starts, reverse=True)


def test_a_page_with_thirty_runs_takes_few_statements(viewer: TestClient, seed: Seed) -> None:
    dag_id = seed.pool("small")
    for night in range(30):
        seed.run(dag_id, "success", WENT_WELL, results=REFRESHED, started=NOW - timedelta(days=night + 1))
    page(viewer)

    with statements() as asked:
        page(viewer)

    assert len([statement for statement in asked if not statement.startswith("PRAGMA")]) <= 16, "\n".join(asked)


def test_resizes_stand_among_the_runs_of_their_pool_alone(viewer: TestClient, seed: Seed) -> None:
    seed.run(seed.pool("small"), "success", WENT_WELL, results=REFRESHED, started=NOW - timedelta(hours=3))
    for dag_id in ("resize_pool", "scale_pool_small"):
        seed.dag(dag_id)
    seed.run("scale_pool_small", "success", {"resize": "success"}, started=NOW - timedelta(hours=2))
    seed.run("resize_pool", "success", {"resize": "success"}, conf={"pool": "small"}, run_id="mine", run_type="manual")
    seed.run("resize_pool", "success", {"resize": "success"}, conf={"pool": "other"}, run_id="theirs")

    found = page(viewer)

    assert [run["dag_id"] for run in found["history"]] == ["resize_pool", "scale_pool_small", "golden_pool_small"]
    assert found["run"]["outcome"] == "resized"
    assert viewer.get("/golden-pools/api/pools/small/runs/mine").json()["dag_id"] == "resize_pool"
    assert viewer.get("/golden-pools/api/pools/small/runs/theirs").status_code == 404


def test_a_verdict_has_azures_answer_and_what_to_do(viewer: TestClient, seed: Seed) -> None:
    noted = {
        "error": "ResizeGaveUpError",
        "what": "The pool did not reach its targets",
        "answer": "AccountCoreQuotaReached",
        "advice": "ask for more dedicated cores",
        "text": "The pool did not reach its targets: AccountCoreQuotaReached",
        "blames_image": False,
    }
    seed.run(seed.pool("small"), "failed", {"pool.resize": "failed"}, failures={"pool.resize": noted})

    assert page(viewer)["run"]["verdict"] == {
        "level": "bad",
        "text": "Task pool.resize failed: The pool did not reach its targets",
        "answer": "AccountCoreQuotaReached",
        "advice": "ask for more dedicated cores",
    }


def test_results_of_tasks_that_ended_in_the_triggerer_are_read_too(viewer: TestClient, seed: Seed) -> None:
    import json

    targets = {"dedicated": 2, "spot": 0}
    results = {
        "pool.resize": {"pool": "small", "targets": targets, "verdict": "reached", "dedicated": 2, "spot": 0},
        "pool.nodes": json.dumps({"pool": "small", "dedicated": 2, "spot": 0}),
    }
    seed.run(seed.pool("small"), "success", WENT_WELL, results=results)

    assert page(viewer)["run"]["verdict"]["text"] == "2 of 2 nodes are ready"


def test_the_nodes_over_time_are_those_that_the_tasks_left(viewer: TestClient, seed: Seed) -> None:
    first = [["2026-11-22T02:10:00+00:00", 0, 0, 0, 0], ["2026-11-22T02:12:00+00:00", 2, 0, 2, 0]]
    then = [["2026-11-22T02:15:00+00:00", 2, 2, 0, 0]]
    left = {("pool.nodes", "samples"): then, ("pool.resize", "samples"): first}
    seed.run(seed.pool("small"), "success", WENT_WELL, others=left)

    assert page(viewer)["run"]["series"] == {
        "target": 2,
        "points": [
            ["2026-11-22T02:10:00+00:00", 0, 0, 0],
            ["2026-11-22T02:12:00+00:00", 0, 2, 0],
            ["2026-11-22T02:15:00+00:00", 2, 0, 0],
        ],
    }


def test_a_plan_only_run_shows_its_table(viewer: TestClient, seed: Seed) -> None:
    table = {"markdown": "| what |", "rows": [{"what": "pool"}]}
    tasks = {"preflight": "success", "pool.refresh": "skipped"}
    seed.run(
        seed.pool("small"), "success", tasks, others={("preflight", "plan_table"): table}, conf={"plan_only": True}
    )

    assert page(viewer)["run"]["plan"] == table


def test_the_versions_that_a_pool_could_go_back_to_are_known(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    page(viewer)
    settled()

    versions = page(viewer)["versions"]

    assert [(one["version"], one["good"], one["current"]) for one in versions] == [
        (NEW, True, True),
        (OLD, True, False),
    ]
    assert versions[0]["id"].endswith(f"/galleries/golden_gallery/images/small/versions/{NEW}")
    assert versions[0]["made_at"]


def test_the_line_leads_from_the_golden_vm_to_the_pool(
    small: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    group = f"/subscriptions/{small.subscription}/resourceGroups/images/providers/Microsoft.Compute"
    passport = {
        "image": f"{group}/galleries/golden_gallery/images/SMALL/versions/{NEW}",
        "built": True,
        "golden_vm": f"/subscriptions/{small.subscription}/x/virtualMachines/golden-vm",
        "snapshots": [f"{group}/snapshots/small-20261121T020005-os", f"{group}/snapshots/small-20261121T020005-data-0"],
        "consistency": {"word": "at_rest"},
        "managed_image": f"{group}/images/small-20261121T020005",
        "run": {"stamp": "2026-11-21T02:00:05Z"},
        "pools": [{"since": "2026-11-21T03:00:00Z"}],
    }
    seed.run("golden_pool_small", "success", WENT_WELL, results={"pool.record": passport}, run_id="built")
    page(viewer)
    settled()

    line = page(viewer)["line"]

    assert [(one["kind"], one["name"], one["detail"]) for one in line] == [
        ("golden_vm", "golden-vm", "in group golden"),
        ("snapshots", "small-20261121T020005", "2 disks, at rest"),
        ("managed_image", "small-20261121T020005", ""),
        ("version", NEW, "proved good"),
        ("pool", "small", "2 of 2 nodes ready"),
    ]
    assert {one["portal"] for one in line} == {None}, "a simulator has no portal"


def test_a_line_without_passports_is_what_the_spec_and_the_pool_tell(
    small: Cloud, viewer: TestClient, settled: Callable[[], None]
) -> None:
    page(viewer)
    settled()

    assert [one["kind"] for one in page(viewer)["line"]] == ["golden_vm", "version", "pool"]


def test_snapshots_that_are_being_copied_tell_how_far_they_are(
    azure: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    dag_id = seed.pool("small")
    plan = plan_of("small", RUN)
    seed.run(dag_id, "running", {"plan": "success", "image.snapshot": "deferred"}, run_id=RUN, results={"plan": plan})
    azure._copy_disk("golden-vm-os", "small-20261122T020005-os")
    azure._copy_disk("golden-vm-os", "of-somebody-else")
    page(viewer)
    settled()

    assert page(viewer)["run"]["progress"] == [
        {"what": "snapshots", "label": "OS disk", "percent": None, "text": "is being copied"}
    ]


def test_a_version_tells_how_far_it_is_in_each_region(
    small: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    plan = plan_of("small", RUN, image_version=NEW)
    tasks = {"plan": "success", "replicate": "deferred"}
    seed.run("golden_pool_small", "running", tasks, run_id=RUN, results={"plan": plan})
    page(viewer)
    settled()

    assert page(viewer)["run"]["progress"] == [
        {"what": "replication", "label": "westeurope", "percent": 100, "text": "completed"}
    ]


def test_while_nodes_come_the_page_draws_what_its_own_looks_saw(
    small: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    seed.spec("small", pool={"targets": {"dedicated": 4, "spot": 0}})
    seed.run("golden_pool_small", "running", {"pool.nodes": "deferred"}, run_id=RUN)
    for _ in range(2):  # the look at the run takes in what the look at its account has seen
        let_time_pass()
        page(viewer)
        settled()

    run = page(viewer)["run"]

    assert run["progress"] == [{"what": "nodes", "label": "small", "percent": 50, "text": "2 of 4 ready, 0 starting"}]
    assert run["series"]["target"] == 4
    assert {tuple(point[1:]) for point in run["series"]["points"]} == {(2, 0, 0)}


def test_a_name_that_looks_like_html_comes_as_text(viewer: TestClient, seed: Seed) -> None:
    evil = "<img src=x onerror=alert(1)>"
    seed.run(seed.pool("small", owner=evil), "failed", {"plan": "failed"}, failures={"plan": {"what": evil}}, by=evil)

    answer = viewer.get("/golden-pools/api/pools/small")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = answer.json()
    assert found["row"]["owner"] == found["run"]["by"] == evil


def _keys(value: Any) -> Any:
    """Return what fields an answer has; of a list those of its first item."""
    if isinstance(value, dict):
        return {name: _keys(item) for name, item in value.items()}
    return [_keys(item) for item in value[:1]] if isinstance(value, list) else None


def _lacks(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Return which fields of one shape another lacks, where both have something there."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            lack
            for name, item in wanted.items()
            for lack in ([f"{path}.{name}"] if name not in found else _lacks(item, found[name], f"{path}.{name}"))
            if not path.endswith(".stages") or name != "checks"
        ]
    if isinstance(wanted, list) and isinstance(found, list) and wanted and found:
        return _lacks(wanted[0], found[0], f"{path}[]")
    return []


def test_the_answers_have_every_field_that_the_pages_own_tests_count_on(
    small: Cloud, seed: Seed, viewer: TestClient, settled: Callable[[], None]
) -> None:
    noted = {"preflight": {"findings": [{"level": "WARNING", "check": "quota", "seen": "x", "advice": "y"}]}}
    seed.run("golden_pool_small", "running", {**WENT_WELL, "pool.nodes": "deferred"}, run_id=RUN, results=noted)
    page(viewer)
    settled()
    wanted = page_answers.page_in_progress()
    wanted["history"] = [{name: item for name, item in wanted["history"][0].items() if name != "stages"}]

    found = page(viewer)

    assert _lacks(_keys(wanted), _keys(found)) == []
