"""``dags/golden_pools.py``: the graph, the schedule, the form, and what a bad spec does to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import RetryAction, TriggerRule
from golden_pools import errors
from golden_pools.retries import RETRIES

from tests.dags.conftest import SAMPLES, planned, sample, utc

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG


@pytest.fixture(scope="session", params=SAMPLES)
def dag(dag_bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    """The DAG of each sample spec."""
    return dag_bag.dags[f"golden_pool_{request.param}"]


@pytest.fixture
def small(dag_bag: DagBag) -> DAG:
    return dag_bag.dags["golden_pool_small"]


@pytest.fixture
def parse(parse_file: Callable[..., DagBag]) -> Callable[..., DagBag]:
    return partial(parse_file, "golden_pools")


# -- the graph ---------------------------------------------------------------------------------------------------------


def test_every_sample_spec_makes_a_dag(dag_bag: DagBag) -> None:
    assert dag_bag.import_errors == {}
    assert {f"golden_pool_{name}" for name in SAMPLES} <= set(dag_bag.dags)


def test_the_stages_stand_in_their_groups(dag: DAG) -> None:
    assert list(dag.task_dict) == [
        "plan",
        "source",
        "preflight",
        "image.stop_golden_vm",
        "image.snapshot",
        "image.start_golden_vm",
        "image.managed_image",
        "image.publish",
        "canary.pool",
        "canary.probe",
        "canary.mark_bad",
        "canary.remove",
        "replicate",
        "pool.refresh",
        "pool.resize",
        "pool.nodes",
        "pool.probe",
        "pool.switch",
        "pool.record",
        "pool.retire",
        "pool.announce",
        "rollback.mark_bad",
        "rollback.restore",
        "rollback.resize",
        "rollback.report",
        "alert",
    ]


def test_the_stages_follow_one_another(dag: DAG) -> None:
    back = ["rollback.mark_bad", "rollback.restore"]
    edges = {name: sorted(task.downstream_task_ids) for name, task in dag.task_dict.items()}
    assert edges == {
        "plan": ["source"],
        "source": ["preflight"],
        "preflight": ["image.stop_golden_vm"],
        "image.stop_golden_vm": ["image.snapshot"],
        "image.snapshot": ["image.managed_image", "image.start_golden_vm"],
        "image.start_golden_vm": ["alert"],
        "image.managed_image": ["image.publish"],
        "image.publish": ["canary.pool"],
        "canary.pool": ["canary.mark_bad", "canary.probe"],
        "canary.probe": ["canary.mark_bad", "canary.remove", "pool.refresh", "replicate"],
        "replicate": ["alert"],
        "canary.mark_bad": ["alert"],
        "canary.remove": ["alert"],
        "pool.refresh": ["pool.resize", *back],
        "pool.resize": ["pool.nodes", *back],
        "pool.nodes": ["pool.probe", *back],
        "pool.probe": ["pool.switch", *back],
        "pool.switch": ["pool.record", *back],
        "pool.record": ["pool.announce", "pool.retire"],
        "pool.announce": ["alert"],
        "pool.retire": ["alert"],
        "rollback.mark_bad": ["alert"],
        "rollback.restore": ["rollback.resize"],
        "rollback.resize": ["rollback.report"],
        "rollback.report": ["alert"],
        "alert": [],
    }


def with_approval(parse: Callable[..., DagBag]) -> DAG:
    """Return the DAG of a pool that moves only when a person approves."""
    return parse(one=sample(**{"schedule:": "refresh:\n  approve: true\n\nschedule:"})).dags["golden_pool_one"]


def test_where_the_spec_asks_for_it_a_person_approves_before_anything_moves(parse: Callable[..., DagBag]) -> None:
    dag = with_approval(parse)
    assert dag.get_task("canary.probe").downstream_task_ids >= {"approve"}
    assert dag.get_task("approve").downstream_task_ids == {"pool.refresh", "replicate"}
    assert dag.get_task("pool.refresh").upstream_task_ids == {"approve"}
    assert dag.get_task("approve").trigger_rule == TriggerRule.NONE_FAILED


def test_the_question_survives_airflows_database(parse: Callable[..., DagBag]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored = json.loads(json.dumps(DagSerialization.to_dict(with_approval(parse))))
    DagSerialization.validate_schema(stored)
    approve = DagSerialization.from_dict(stored).get_task("approve")
    assert approve.inherits_from_skipmixin, "a cleared task would run though the pool may not move"


def test_otherwise_nobody_is_asked(small: DAG) -> None:
    assert "approve" not in small.task_dict


def test_the_golden_vm_is_started_whatever_happened(small: DAG) -> None:
    start = small.get_task("image.start_golden_vm")
    assert start.is_teardown
    assert start.on_failure_fail_dagrun
    assert start.trigger_rule == TriggerRule.ALL_DONE_SETUP_SUCCESS


@pytest.mark.parametrize("stage", ["canary.pool", "pool.refresh", "pool.switch"])
def test_a_stage_runs_after_skipped_ones(small: DAG, stage: str) -> None:
    """A run with a given version skips the image, one with a good version the canary, most the probe of the pool."""
    assert small.get_task(stage).trigger_rule == TriggerRule.NONE_FAILED


def test_the_alert_comes_last_and_does_not_decide_the_run(small: DAG) -> None:
    alert = small.get_task("alert")
    assert alert.is_teardown
    assert not alert.on_failure_fail_dagrun
    assert [leaf.task_id for leaf in small.leaves] == ["alert"]


def test_the_canary_is_removed_whatever_happened_and_does_not_decide_the_run(small: DAG) -> None:
    remove = small.get_task("canary.remove")
    assert remove.is_teardown
    assert not remove.on_failure_fail_dagrun
    assert remove.trigger_rule == TriggerRule.ALL_DONE_SETUP_SUCCESS


def test_rollback_waits_for_a_failure_and_always_reports(small: DAG) -> None:
    rules = {name: small.get_task(f"rollback.{name}").trigger_rule for name in ("mark_bad", "restore", "report")}
    assert rules == {
        "mark_bad": TriggerRule.ONE_FAILED,
        "restore": TriggerRule.ONE_FAILED,
        "report": TriggerRule.ALL_DONE,
    }


def test_assets_leave_with_the_stages_that_finish_them(small: DAG) -> None:
    outlets = {name: [asset.name for asset in task.outlets] for name, task in small.task_dict.items() if task.outlets}
    assert outlets == {
        "pool.record": ["batch-pool/goldenbatch/small"],
        "pool.announce": ["golden-image/golden_gallery/small"],
    }


def test_two_runs_never_work_on_one_pool(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_every_task_has_documentation_an_owner_and_the_retry_policy(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.doc_md
        assert task.owner != "airflow"
        assert task.retries == RETRIES
        assert task.retry_policy is not None
    assert dag.doc_md
    assert dag.tags >= {"golden-pools"}


def test_a_dag_survives_airflows_database(dag: DAG) -> None:
    """A template field that is named like one of Airflow's own words broke this once."""
    from airflow.serialization.serialized_objects import DagSerialization

    stored = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    DagSerialization.validate_schema(stored)
    loaded = DagSerialization.from_dict(stored)
    assert list(loaded.task_dict) == list(dag.task_dict)
    assert list(loaded.get_task("pool.nodes").template_fields) == list(dag.get_task("pool.nodes").template_fields)


def test_no_template_field_is_one_of_airflows_own_words(dag: DAG) -> None:
    from airflow.sdk import BaseOperator

    reserved = set(BaseOperator.get_serialized_fields())
    assert {name for task in dag.tasks for name in task.template_fields} & reserved == set()


# -- the schedule ------------------------------------------------------------------------------------------------------


def test_a_new_dag_that_is_switched_on_at_noon_waits_for_the_night(
    small: DAG, next_run: Callable[..., datetime]
) -> None:
    assert next_run(small, at=utc(11, 22, 12)) == utc(11, 23, 1)  # 02:00 in Berlin


def test_of_the_nights_that_a_paused_dag_missed_only_the_last_is_made_up_for(
    small: DAG, next_run: Callable[..., datetime]
) -> None:
    """So does Airflow with every DAG that has run before and is switched on again."""
    assert next_run(small, at=utc(11, 22, 12), last=utc(11, 10, 1)) == utc(11, 22, 1)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (utc(3, 27, 1), utc(3, 28, 1)),  # 02:00 in winter
        (utc(3, 28, 1), utc(3, 29, 1)),  # 02:00 does not exist: 03:00, the same moment
        (utc(3, 29, 1), utc(3, 30, 0)),  # 02:00 in summer
        (utc(10, 24, 0), utc(10, 25, 1)),  # 02:00 comes twice: the second one, not both
        (utc(10, 25, 1), utc(10, 26, 1)),  # 02:00 in winter again
    ],
)
def test_a_night_has_one_run_when_the_clocks_change(
    small: DAG, next_run: Callable[..., datetime], last: datetime, expected: datetime
) -> None:
    assert next_run(small, at=last.replace(minute=30), last=last) == expected


def test_a_spec_without_a_schedule_runs_by_hand_only(parse: Callable[..., DagBag]) -> None:
    text = sample().split("schedule:")[0]
    (dag,) = parse(byhand=text).dags.values()
    assert dag.schedule is None


# -- specs -------------------------------------------------------------------------------------------------------------


def test_a_bad_spec_leaves_the_other_pools_alone(parse: Callable[..., DagBag]) -> None:
    bag = parse(good=sample(), bad="subscription: nonsense\n")
    assert set(bag.dags) == {"golden_pool_good"}
    assert bag.import_errors == {}


def test_a_tasks_start_reads_its_own_spec_only(parse: Callable[..., DagBag], monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.definitions import context

    monkeypatch.setenv(context._AIRFLOW_PARSING_CONTEXT_DAG_ID, "golden_pool_one")
    bag = parse(one=sample(), two=sample(**{"definition: small": "definition: two"}))
    assert set(bag.dags) == {"golden_pool_one"}


def test_parsing_reads_no_connection_and_asks_nobody(
    parse: Callable[..., DagBag], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import BaseHook

    def asked(*_: object) -> None:
        raise AssertionError("a connection was read while the file was parsed")

    monkeypatch.setattr(BaseHook, "get_connection", asked)
    assert parse(one=sample()).import_errors == {}


# -- the form ----------------------------------------------------------------------------------------------------------


def test_the_form_offers_what_the_plan_understands(dag: DAG) -> None:
    from golden_pools.rules.plan import PARAMS

    assert tuple(dag.params) == PARAMS


def test_an_untouched_form_is_valid_and_changes_nothing(dag: DAG) -> None:
    values = dag.params.validate()
    assert values["plan_only"] is False
    assert [values[name] for name in ("dedicated", "spot", "image_version")] == [None, None, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dedicated", -1),
        ("dedicated", 2501),
        ("dedicated", "3"),
        ("spot", 1001),
        ("refresh_strategy", "by_magic"),
        ("plan_only", "yes"),
        ("image_version", 7),
    ],
)
def test_the_form_refuses_what_the_plan_would(small: DAG, name: str, value: object) -> None:
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        ParamsDict({**dict(small.params.items()), name: Param(value, **schema(small, name))}).validate()


def schema(dag: DAG, name: str) -> dict[str, Any]:
    found: dict[str, Any] = dag.params.get_param(name).schema
    return found


# -- the run -----------------------------------------------------------------------------------------------------------


def test_the_first_task_writes_the_plan(small: DAG) -> None:
    plan = planned(small, dedicated=7)
    assert plan["pool"] == "small"
    assert plan["triggered_by"] == "ada"
    assert plan["spec"]["pool"]["targets"] == {"dedicated": 7, "spot": 0}


@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "asset_triggered", "operator_triggered"])
def test_a_run_that_nobody_triggered_by_hand_counts_as_scheduled(small: DAG, run_type: str) -> None:
    plan = planned(small, run_type=run_type, user=None)
    assert plan["scheduled"]
    assert plan["triggered_by"] == run_type


def test_a_run_by_hand_does_not_count_as_scheduled(small: DAG) -> None:
    plan = planned(small, user=None)
    assert not plan["scheduled"]
    assert plan["triggered_by"] == "manual"


def test_an_unknown_key_is_refused_with_the_nearest_name(small: DAG) -> None:
    """Airflow itself lets unknown keys of a conf through."""
    with pytest.raises(errors.RunConfError) as refused:
        planned(small, dedicatd=7)
    assert "dedicatd is not a key of the form (did you mean dedicated?)" in str(refused.value)
    assert "plan_only" in refused.value.advice


def test_a_given_version_skips_the_image_group(small: DAG) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    plan = planned(small, image_version="2026.1121.20005")
    context: Any = {"ti": SimpleNamespace(xcom_pull=lambda task_ids: plan if task_ids == "plan" else None)}
    for name in ("stop_golden_vm", "snapshot", "managed_image", "publish"):
        with pytest.raises(AirflowSkipException, match="the run uses the existing version"):
            small.get_task(f"image.{name}").execute(context)  # type: ignore[attr-defined]


@pytest.mark.parametrize("task_id", ["canary.mark_bad", "canary.remove", "rollback.mark_bad", "rollback.restore"])
def test_what_runs_after_any_failure_is_skipped_where_the_first_task_failed(small: DAG, task_id: str) -> None:
    """Airflow counts a task whose predecessors failed as failed: there is no plan to read then."""
    from airflow.sdk.exceptions import AirflowSkipException

    context: Any = {"ti": SimpleNamespace(xcom_pull=lambda task_ids: None)}
    with pytest.raises(AirflowSkipException, match="the run has no plan"):
        small.get_task(task_id).execute(context)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.AzureBusyError("x"), RetryAction.RETRY),
        (errors.AzureRefusedError("x"), RetryAction.FAIL),
        (errors.ReadOnlyError("x"), RetryAction.FAIL),
        (errors.OwnershipError("x"), RetryAction.FAIL),
        (errors.PreflightError("x"), RetryAction.FAIL),
        (errors.ResizeGaveUpError("x"), RetryAction.FAIL),
        (errors.RunConfError("x"), RetryAction.FAIL),
        (errors.SpecError("x", ["y"]), RetryAction.FAIL),
        (ConnectionError("x"), RetryAction.DEFAULT),
    ],
)
def test_only_what_passes_by_itself_is_tried_again(small: DAG, error: Exception, action: RetryAction) -> None:
    """Pitfall 4: nothing gets around the retry policy."""
    policy = small.get_task("pool.resize").retry_policy
    assert policy is not None
    assert policy.evaluate(error, try_number=1, max_tries=RETRIES, context=None).action is action
