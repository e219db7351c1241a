"""Approval before the pool moves: whole runs, with a person who answers, or nobody who does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG
from golden_pools.hooks.passports import PassportStore
from golden_pools.operators import approve
from golden_pools.rules.outcome import Outcome, outcome_of
from golden_pools.spec.model import PoolSpec

from dags.golden_pools import pool_dag
from tests.operators.conftest import DEFINITION, NEW, OLD, Cloud, Question, Run, small_pool
from tests.operators.dag_run import DagRun, State
from tests.virtual_time import VirtualTime, virtual_cloud

Answer = Callable[[Question], tuple[str, str] | None]


def ada_approves(_: Question) -> tuple[str, str]:
    return "Approve", "ada"


def ada_rejects(_: Question) -> tuple[str, str]:
    return "Reject", "ada"


def nobody_answers(_: Question) -> None:
    return None


def nobody_is_asked(question: Question) -> None:
    raise AssertionError(question.subject)


@dataclass
class Desk:
    """A pool of two nodes on an old version that only moves when a person approves."""

    cloud: Cloud
    virtual: VirtualTime
    log: dict[str, list[SimpleNamespace]] = field(default_factory=lambda: defaultdict(list))
    runs: int = 0

    def spec(self, **parts: dict[str, Any]) -> PoolSpec:
        whole = small_pool(self.cloud).model_dump(mode="json")
        whole["refresh"] |= {"approve": True}
        whole["golden_vm"]["capture"] = "running"
        for part, fields in parts.items():
            whole[part] |= fields
        return PoolSpec.model_validate(whole)

    def begin(self, answer: Answer, spec: PoolSpec | None = None, **conf: Any) -> DagRun:
        """Return a run that nothing has been done of."""
        self.runs += 1
        run = Run(
            spec or self.spec(),
            conf=conf,
            run_id=f"manual__{self.runs}",
            stamp=self.virtual.now(),
            fire=self.virtual.fire,
            clock=self.virtual.now,
            log=self.log,
            answer=answer,
        )
        run.xcoms.pop("source", None)
        self.cloud.forget()
        return DagRun(dag_of(run.spec), run, run.do_with_retries)

    def night(self, answer: Answer, spec: PoolSpec | None = None, **conf: Any) -> DagRun:
        """Run the DAG to its end."""
        return self.begin(answer, spec, **conf).go()

    def pool_writes(self) -> list[str]:
        """Return what was written to the pool itself, or to one of its versions."""
        return [write for write in self.cloud.writes() if "/pools/small" in write]


def dag_of(spec: PoolSpec) -> DAG:
    return pool_dag("small", spec)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with virtual_cloud() as (cloud, virtual):
        cloud.make_pool(cloud.make_version(OLD), dedicated=2)
        yield Desk(cloud, virtual)


STAYS = ("replicate", "pool.refresh", "pool.resize", "pool.nodes", "pool.switch", "pool.record", "pool.announce")
"""Tasks that a rejection skips, whatever their trigger rules."""


def test_a_pool_moves_when_a_person_approves(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    night = desk.night(ada_approves)
    assert night.succeeded, night.errors
    assert desk.cloud.image_of() == night.run.plan.version_id
    (asked,) = night.run.questions
    assert asked.subject == f"version small/{night.run.plan.version_name} wants to be approved"
    assert asked.defaults == ["Reject"]
    assert asked.time == timedelta(minutes=720)
    (answer,) = night.run.xcom("pool.record")["approvals"]
    assert (answer["pool"], answer["answer"], answer["by"], answer["run"]) == ("small", "approved", "ada", "manual__1")
    assert "Approved by ada" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", ["in_place", "blue_green", "recreate"])
def test_a_pool_stays_as_it_is_when_a_person_rejects(
    desk: Desk, strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.cloud.pool()
    night = desk.night(ada_rejects, desk.spec(refresh={"strategy": strategy, "approve": True}))

    assert night.succeeded, night.errors
    assert {night.states[task_id] for task_id in STAYS} == {State.SKIPPED}
    assert night.states["approve"] == State.SUCCESS
    assert [name for name in night.states if name.startswith("rollback.") and night.states[name] != State.SKIPPED] == []
    assert outcome_of(night.states, failed=False) is Outcome.REJECTED
    assert desk.pool_writes() == []
    assert desk.cloud.pool() == before
    assert "Rejected by ada. Pool small stays as it is" in capsys.readouterr().out


def test_a_rejected_version_is_neither_bad_nor_for_others(desk: Desk) -> None:
    """Followers start by the event that is not sent; ``latest`` does not mean it."""
    night = desk.night(ada_rejects)
    version = desk.cloud.arm("GET", f"{DEFINITION}/versions/{night.run.plan.version_name}")
    assert version["properties"]["publishingProfile"]["excludeFromLatest"] is True
    assert "golden-pools-verdict" not in version["tags"]
    assert [region["name"] for region in version["properties"]["publishingProfile"]["targetRegions"]] == ["West Europe"]
    assert night.run.events == {}


@pytest.mark.parametrize(
    ("default", "image", "by"), [("reject", OLD, "default: nobody answered in time"), ("approve", None, "default")]
)
def test_without_an_answer_the_specs_default_holds(
    desk: Desk, default: str, image: str | None, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refresh = {"approve": True, "approval_minutes": 45, "approval_default": default}
    night = desk.night(nobody_answers, desk.spec(refresh=refresh))
    assert night.succeeded, night.errors
    assert desk.cloud.image_of().rpartition("/")[2] == (image or night.run.plan.version_name)
    (asked,) = night.run.questions
    assert (asked.defaults, asked.time) == ([default.capitalize()], timedelta(minutes=45))
    assert f"by {by}" in capsys.readouterr().out
    assert night.run.xcom("approve")["by"] is None


def test_nobody_is_asked_where_the_pool_is_on_the_version_already(desk: Desk) -> None:
    version = desk.night(ada_approves).run.plan.version_name
    again = desk.night(nobody_is_asked, image_version=version, dedicated=1)
    assert again.succeeded, again.errors
    assert again.states["approve"] == State.SKIPPED
    assert again.states["pool.refresh"] == State.SUCCESS
    assert again.run.xcom("pool.record")["approvals"] == []


def test_a_plan_only_run_asks_nobody(desk: Desk) -> None:
    night = desk.night(nobody_is_asked, plan_only=True)
    assert night.succeeded, night.errors
    assert night.states["approve"] == State.SKIPPED
    assert desk.cloud.writes() == []


def test_a_canary_that_failed_leaves_nothing_to_approve(desk: Desk) -> None:
    desk.cloud.command(pool="canary-*", kind="task", count=None, exit_code=1)
    night = desk.night(nobody_is_asked)
    assert night.states["approve"] == night.states["pool.refresh"] == State.UPSTREAM_FAILED


def test_a_run_that_began_without_approval_is_not_asked_for_it(desk: Desk) -> None:
    """The spec was changed in mid-run: the DAG has the task by now, but the run's plan does not want it."""
    spec = desk.spec(refresh={"approve": False})
    night = desk.begin(nobody_is_asked, spec)
    night.dag = dag_of(desk.spec())
    assert night.go().states["approve"] == State.SKIPPED
    assert night.succeeded, night.errors


# -- retries and clears ------------------------------------------------------------------------------------------------


@pytest.fixture
def asking(desk: Desk) -> Callable[[Answer], tuple[Run, ApprovalOperator]]:
    """Return a run up to its question, and the task that asks."""

    def up_to_the_question(answer: Answer) -> tuple[Run, ApprovalOperator]:
        desk.cloud.make_version(NEW)
        night = desk.begin(answer, image_version=NEW)
        night.run.do(night.dag.get_task("preflight"))
        return night.run, night.dag.get_task("approve")

    return up_to_the_question


@pytest.mark.parametrize("answer", [ada_approves, ada_rejects])
def test_a_retry_goes_by_the_answer_that_has_come(
    asking: Callable[[Answer], tuple[Run, ApprovalOperator]], answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, task = asking(answer)
    with monkeypatch.context() as patch:
        patch.setattr(ApprovalOperator, "execute_complete", _dies)
        with pytest.raises(ConnectionError):
            run.do(task)
    run.answer = nobody_is_asked
    assert run.do(task)["by"] == "ada"
    assert len(run.questions) == 1
    assert ("pool.refresh" in run.skipped) is (answer is ada_rejects)


def _dies(*_: object, **__: object) -> None:
    raise ConnectionError("the worker lost its database")


def test_a_clear_asks_anew(asking: Callable[[Answer], tuple[Run, ApprovalOperator]]) -> None:
    run, task = asking(ada_rejects)
    run.do(task)
    run.answer = ada_approves
    assert run.do(task)["answer"] == "approved"
    assert len(run.questions) == 2


def test_a_retry_without_an_answer_leaves_no_more_time_than_there_was(
    asking: Callable[[Answer], tuple[Run, ApprovalOperator]], later: Callable[..., None]
) -> None:
    run, task = asking(_worker_dies)
    with pytest.raises(ConnectionError):
        run.do(task)
    later(hours=11)
    run.answer = ada_approves
    run.do(task)
    first, second = (question.time for question in run.questions)
    assert timedelta(hours=11, minutes=59) < first <= timedelta(hours=12)
    assert timedelta(minutes=59) < second <= timedelta(hours=1)


def _worker_dies(_: Question) -> None:
    _dies()


# -- what is asked, and who hears of it --------------------------------------------------------------------------------


def test_the_question_tells_what_changed_since_the_version_of_the_pool(desk: Desk) -> None:
    form = {"refresh_strategy": "in_place", "force_rebuild": True}
    desk.night(ada_approves, **form)
    desk.cloud.advance(hours=24)
    second = desk.night(ada_approves, **form)
    (asked,) = second.run.questions
    row = {line.split("|")[1].strip(): line for line in asked.body.splitlines() if line.startswith("|")}
    assert f"small/{second.run.plan.version_name}" in row["image"]
    assert row["from"].count("golden_vm golden-vm") == 2
    assert row["disks"].count("OS 64 GiB") == 2
    assert "node-agent" in asked.body
    assert "passed" in asked.body
    assert row["refresh"].split("|")[2].strip() in ("resize", "change")
    assert "in all" in row
    assert "it counts as rejected" in asked.body


def test_the_question_says_where_nothing_is_known_of_the_present_version(desk: Desk) -> None:
    (asked,) = desk.night(ada_rejects).run.questions
    assert "No run has told what the pool's present image was made from." in asked.body
    assert "No run yet of this pool with in_place that builds an image." in asked.body


def test_somebody_hears_that_an_answer_is_wanted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, str]] = []

    class Recorder:
        def __init__(self, *, pool: str, channels: Any) -> None:
            self.pool = pool

        def __call__(self, context: Any) -> None:
            heard.append((self.pool, context["task"].subject))

    monkeypatch.setattr(approve, "PoolAlertNotifier", Recorder)
    night = desk.night(ada_rejects)
    assert heard == [("small", night.run.questions[0].subject)]


def test_a_rejection_stands_in_the_passport_of_the_version(desk: Desk, tmp_path: Path) -> None:
    spec = desk.spec(image={"passports": {"path": str(tmp_path)}})
    night = desk.night(ada_rejects, spec)
    assert spec.image.passports is not None
    document = PassportStore(spec.image.passports).document(night.run.plan.version_id)
    assert document is not None
    (answer,) = document.approvals
    assert (answer.answer, answer.by, document.became) == ("rejected", "ada", "new")
    assert len(document.disks) == 3
