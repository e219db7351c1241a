"""``dags/resize_pool.py``: the form, the scale times as Airflow schedules them, and what a bad spec does to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from airflow.sdk.execution_time import macros
from golden_pools.errors import RunConfError
from golden_pools.operators.scale import ResizeByHandOperator, ScalePoolOperator
from golden_pools.retries import RETRIES
from golden_pools.rules.plan import RESIZE_PARAMS
from golden_pools.rules.scale import time_in_force
from golden_pools.sensors.scale import ScaledNodesSensor
from golden_pools.spec.model import PoolSpec

from tests.dags.conftest import SAMPLES, planned, sample, utc

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

SCALE = """\
scale:
  - {cron: 0 7 * * 1-5, dedicated: 40, spot: 8, timezone: Europe/Berlin}
  - {cron: 0 19 * * 1-5, dedicated: 4, timezone: Europe/Berlin}
"""
SPEC = sample() + SCALE


@pytest.fixture
def parse(parse_file: Callable[..., DagBag]) -> Callable[..., DagBag]:
    return partial(parse_file, "resize_pool")


@pytest.fixture
def dags(parse: Callable[..., DagBag]) -> dict[str, DAG]:
    """The DAGs of a pool with scale times and one without."""
    bag = parse(farm=SPEC, still=sample(**{"definition: small": "definition: still"}))
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture
def resize(dags: dict[str, DAG]) -> DAG:
    return dags["resize_pool"]


@pytest.fixture
def scale(dags: dict[str, DAG]) -> DAG:
    return dags["scale_pool_farm"]


# -- the graphs --------------------------------------------------------------------------------------------------------


def test_every_pool_with_scale_times_has_a_dag_of_its_own(dags: dict[str, DAG]) -> None:
    assert set(dags) == {"resize_pool", "scale_pool_farm"}


def test_the_samples_make_their_dags(dag_bag: DagBag) -> None:
    assert dag_bag.import_errors == {}
    assert dag_bag.dags["resize_pool"].params.get_param("pool").schema["enum"] == SAMPLES


@pytest.mark.parametrize("dag_id", ["resize_pool", "scale_pool_farm"])
def test_the_stages_follow_one_another(dags: dict[str, DAG], dag_id: str) -> None:
    edges = {name: sorted(task.downstream_task_ids) for name, task in dags[dag_id].task_dict.items()}
    assert edges == {"plan": ["resize"], "resize": ["nodes"], "nodes": ["alert"], "alert": []}


def test_a_scale_time_gives_way_and_a_person_is_told(resize: DAG, scale: DAG) -> None:
    assert type(resize.get_task("resize")) is ResizeByHandOperator
    assert type(scale.get_task("resize")) is ScalePoolOperator
    assert type(scale.get_task("nodes")) is ScaledNodesSensor


def test_one_pool_has_one_scale_run_at_a_time_and_resizes_go_side_by_side(resize: DAG, scale: DAG) -> None:
    assert scale.max_active_runs == 1
    assert scale.catchup is False
    assert resize.max_active_runs > 1


@pytest.mark.parametrize("dag_id", ["resize_pool", "scale_pool_farm"])
def test_every_task_has_documentation_an_owner_and_the_retry_policy(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    for task in dag.tasks:
        assert task.doc_md
        assert task.owner != "airflow"
        assert task.retries == RETRIES
        assert task.retry_policy is not None
    assert dag.doc_md
    assert dag.tags >= {"golden-pools"}


@pytest.mark.parametrize("dag_id", ["resize_pool", "scale_pool_farm"])
def test_a_dag_survives_airflows_database(dags: dict[str, DAG], dag_id: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = dags[dag_id]
    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    DagSerialization.validate_schema(stored)
    loaded = DagSerialization.from_dict(stored)
    assert list(loaded.task_dict) == list(dag.task_dict)
    for task in dag.tasks:
        assert list(loaded.get_task(task.task_id).template_fields) == list(task.template_fields)


# -- the schedule ------------------------------------------------------------------------------------------------------


def test_resizes_are_started_by_hand_only(resize: DAG) -> None:
    assert resize.schedule is None


def test_a_new_dag_that_is_switched_on_waits_for_the_next_time(scale: DAG, next_run: Callable[..., datetime]) -> None:
    assert next_run(scale, at=utc(11, 24, 12)) == utc(11, 24, 18)  # 19:00 in Berlin


def test_of_the_times_that_a_paused_dag_missed_only_the_last_is_made_up_for(
    scale: DAG, next_run: Callable[..., datetime]
) -> None:
    assert next_run(scale, at=utc(11, 24, 12), last=utc(11, 10, 6)) == utc(11, 24, 6)


@pytest.mark.parametrize("start", [utc(3, 27, 18), utc(10, 23, 17)], ids=["forward", "back"])
def test_airflow_starts_each_time_once_and_it_is_in_force_then(
    parse: Callable[..., DagBag], next_run: Callable[..., datetime], start: datetime
) -> None:
    """Over the weekends when the clocks change, with times in the hour that is skipped or comes twice."""
    text = sample() + (
        "scale:\n"
        "  - {cron: 0 7 * * *, dedicated: 1, timezone: Europe/Berlin}\n"
        "  - {cron: 0 19 * * *, dedicated: 2, timezone: Europe/Berlin}\n"
        "  - {cron: 30 2 * * *, dedicated: 3, timezone: Europe/Berlin}\n"
    )
    dag = parse(farm=text).dags["scale_pool_farm"]
    scale_times = PoolSpec.model_validate(yaml.safe_load(text)).scale
    found, last = [], start
    for _ in range(9):
        last = next_run(dag, at=last + timedelta(minutes=1), last=last)
        time = time_in_force(scale_times, last)
        assert time is not None
        found.append(time.dedicated)
    assert found == [3, 1, 2] * 3
    assert last - start == timedelta(days=3) + (timedelta(hours=1) if start.month == 10 else -timedelta(hours=1))


# -- specs -------------------------------------------------------------------------------------------------------------


def test_a_bad_spec_is_not_offered_and_leaves_the_others_alone(parse: Callable[..., DagBag]) -> None:
    bag = parse(good=SPEC, bad="subscription: nonsense\n")
    assert bag.import_errors == {}
    assert set(bag.dags) == {"resize_pool", "scale_pool_good"}
    assert bag.dags["resize_pool"].params.get_param("pool").schema["enum"] == ["good"]


def test_without_a_good_spec_there_is_nothing_to_resize(parse: Callable[..., DagBag]) -> None:
    bag = parse(bad="subscription: nonsense\n")
    assert (bag.dags, bag.import_errors) == ({}, {})


@pytest.fixture
def at_the_start_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Parse as the process of a task of a DAG does."""
    from airflow.sdk.definitions import context

    return partial(monkeypatch.setenv, context._AIRFLOW_PARSING_CONTEXT_DAG_ID)


def test_a_scale_tasks_start_reads_its_own_spec_only(
    parse: Callable[..., DagBag], at_the_start_of: Callable[[str], None]
) -> None:
    at_the_start_of("scale_pool_farm")
    assert set(parse(farm=SPEC, bad="nonsense").dags) == {"scale_pool_farm"}


def test_a_resize_tasks_start_reads_no_spec(
    parse: Callable[..., DagBag], at_the_start_of: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from golden_pools.spec import loader

    def read(*_: object) -> None:
        raise AssertionError("a spec was read")

    monkeypatch.setattr(loader, "_read", read)
    at_the_start_of("resize_pool")
    bag = parse(farm=SPEC, other=SPEC)
    assert bag.import_errors == {}
    assert bag.dags["resize_pool"].params.get_param("pool").schema["enum"] == ["farm", "other"]


def test_a_run_finds_its_dag_after_the_scale_times_were_removed(
    parse: Callable[..., DagBag], at_the_start_of: Callable[[str], None]
) -> None:
    at_the_start_of("scale_pool_farm")
    dag = parse(farm=sample()).dags["scale_pool_farm"]
    with pytest.raises(AirflowSkipException, match="no scale times any more"):
        planned(dag)


def test_parsing_reads_no_connection_and_asks_nobody(
    parse: Callable[..., DagBag], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import BaseHook

    def asked(*_: object) -> None:
        raise AssertionError("a connection was read while the file was parsed")

    monkeypatch.setattr(BaseHook, "get_connection", asked)
    assert parse(farm=SPEC).import_errors == {}


# -- the form ----------------------------------------------------------------------------------------------------------


def filled(dag: DAG, **values: Any) -> dict[str, Any]:
    """Return what Airflow makes of a filled form."""
    dag.params.update(values)
    validated: dict[str, Any] = dag.params.validate()
    return validated


def test_the_form_offers_what_the_plan_understands(resize: DAG, scale: DAG) -> None:
    assert tuple(resize.params) == RESIZE_PARAMS
    assert tuple(scale.params) == ()


def test_pool_and_reason_are_enough(resize: DAG) -> None:
    assert filled(resize, pool="farm", why="a big order") == {
        "pool": "farm",
        "dedicated": None,
        "spot": None,
        "why": "a big order",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"pool": "fram"},
        {"pool": "../farm"},
        {"why": ""},
        {"dedicated": -1},
        {"dedicated": 2501},
        {"spot": 1001},
        {"spot": "3"},
    ],
)
def test_the_form_refuses_what_the_plan_would(resize: DAG, changes: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        filled(resize, **{"pool": "farm", "why": "so", **changes})


@pytest.mark.parametrize("missing", ["pool", "why"])
def test_the_form_has_no_defaults_for_pool_and_reason(resize: DAG, missing: str) -> None:
    values = {name: value for name, value in (("pool", "farm"), ("why", "so")) if name != missing}
    with pytest.raises(ParamValidationError):
        filled(resize, **values)


# -- the plan ----------------------------------------------------------------------------------------------------------

DAY, NIGHT = datetime(2035, 11, 27, 11, tzinfo=UTC), datetime(2035, 11, 27, 23, tzinfo=UTC)
"""A Tuesday, far enough from now: a run is planned for the moment when it is due, or now if that is later."""


def targets(plan: Any) -> tuple[int, int]:
    counts = plan["spec"]["pool"]["targets"]
    return counts["dedicated"], counts["spot"]


def test_a_resize_asks_for_the_counts_of_the_form(resize: DAG) -> None:
    plan = planned(resize, pool="farm", dedicated=7, spot=2, why="a big order")
    assert (plan["pool"], targets(plan), plan["why"]) == ("farm", (7, 2), "a big order")


def test_what_the_form_leaves_open_is_what_the_spec_says_now(resize: DAG) -> None:
    assert targets(planned(resize, due=DAY, pool="farm", dedicated=7, why="so")) == (7, 8)
    assert targets(planned(resize, due=NIGHT, pool="farm", why="so")) == (4, 0)
    assert targets(planned(resize, pool="still", why="so")) == (2, 0)


def test_a_scale_run_applies_the_time_in_force(scale: DAG) -> None:
    by_day, by_night = planned(scale, due=DAY), planned(scale, due=NIGHT)
    assert (targets(by_day), by_day["why"]) == ((40, 8), "scale time 0 7 * * 1-5 (Europe/Berlin)")
    assert (targets(by_night), by_night["why"]) == ((4, 0), "scale time 0 19 * * 1-5 (Europe/Berlin)")


def test_a_run_on_a_worker_with_a_slow_clock_is_planned_for_when_it_was_due(scale: DAG) -> None:
    """At 18:59:59 by the worker the counts of the day would still be in force."""
    assert targets(planned(scale, due=datetime(2035, 11, 27, 18, tzinfo=UTC))) == (4, 0)


def test_a_scale_run_takes_no_configuration(scale: DAG) -> None:
    with pytest.raises(RunConfError, match="dedicated is not a key of the form"):
        planned(scale, dedicated=7)


def test_a_key_of_the_refreshs_form_is_refused(resize: DAG) -> None:
    with pytest.raises(RunConfError, match=r"whi is not a key of the form \(did you mean why\?\)"):
        planned(resize, pool="farm", why="so", whi="so")
    with pytest.raises(RunConfError, match="image_version is not a key of the form"):
        planned(resize, pool="farm", why="so", image_version="1.2.3")


def test_the_refresh_of_a_pool_takes_the_counts_of_its_scale_time(parse_file: Callable[..., DagBag]) -> None:
    dag = parse_file("golden_pools", farm=SPEC).dags["golden_pool_farm"]
    assert targets(planned(dag, due=DAY)) == (40, 8)
    assert targets(planned(dag, due=NIGHT)) == (4, 0)
    assert targets(planned(dag, due=NIGHT, spot=1)) == (4, 1)


@pytest.mark.parametrize("encode", [dict, json.dumps], ids=["ended on a worker", "ended in the triggerer"])
def test_the_nodes_wait_for_the_counts_that_the_pool_was_brought_to(scale: DAG, encode: Callable[[Any], Any]) -> None:
    resized = encode({"pool": "farm-2", "targets": {"dedicated": 40, "spot": 8}})
    plan = planned(scale, due=DAY)
    nodes: Any = scale.get_task("nodes").prepare_for_execution()
    context: Any = {
        "ti": SimpleNamespace(xcom_pull=lambda task_ids: {"plan": plan, "resize": resized}[task_ids]),
        "macros": macros,
    }
    nodes.render_template_fields(context)
    assert (nodes.pool_name, nodes.dedicated, nodes.spot) == ("farm-2", "40", "8")
