"""Whatever the order of runs and of what happens to a pool: no run claims too much, empties a pool or loses a job.

A state machine of hypothesis drives the DAGs themselves against the simulator. What its rules stand for happens between
runs and in their waits; workers are killed at writes, and answers are lost. Everything is on one clock that nobody
waits for, so a run takes half a second. The examples are the same each time; to look further, say how many others there
shall be::

    POOL_MACHINE_EXAMPLES=1000 pytest tests/operators/test_pool_machine.py

A failure prints the steps that lead to it, as few as possible.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from golden_pools.operators.retire_pool import RetireFormerPoolsOperator
from golden_pools.rules.plan import PARAMS, RESIZE_PARAMS
from golden_pools.rules.resize import wanted
from golden_pools.spec.model import PoolSpec
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from dags.golden_pools import pool_dag
from dags.resize_pool import resize_dag
from tests.operators.conftest import HTTP, NEW, OLD, Died, Run, small_pool
from tests.operators.dag_run import DagRun
from tests.virtual_time import virtual_cloud

EXAMPLES = int(os.environ.get("POOL_MACHINE_EXAMPLES", "0"))
VERSIONS = (OLD, NEW, "2026.1122.20005")
ALIAS = "small"
DISK_FULL = {"code": "DiskFull", "message": "There is not enough disk space"}
INTERNAL = {
    "code": "AllocationFailed",
    "details": [{"code": "Reason", "message": "The server encountered an internal error."}],
}

PASSING: dict[str, dict[str, Any]] = {
    "no capacity": {"max_new_nodes": 1},
    "internal error": {"error": INTERNAL},
    "slow": {"delay": "PT12M"},
    "bad node": {"node_outcomes": [{"state": "unusable", "nodes": 1, "error": DISK_FULL}]},
    "bad node, a reboot helps": {
        "node_outcomes": [{"state": "unusable", "nodes": 1, "error": DISK_FULL, "cured_by_reboots": 1}]
    },
}
"""What may become of a resize; the next one brings the pool on."""

GRAVE: dict[str, dict[str, Any]] = {
    "quota": {"max_new_nodes": 1, "error": {"code": "AccountCoreQuotaReached"}},
    "bad image": {"node_outcomes": [{"state": "unusable", "share": 1.0, "error": DISK_FULL}]},
    "nodes that never call": {"node_outcomes": [{"state": "unusable", "share": 1.0}]},
}
"""The same, but it ends the run. One at a time: what comes on top of the next resize ends the rollback, too."""

INCIDENTS: dict[str, dict[str, Any]] = {
    "preempted for a while": {"state": "preempted", "nodes": 1, "recovers_after": "PT20M"},
    "preempted": {"state": "preempted", "nodes": 9},
    "unusable for a while": {"state": "unusable", "nodes": 1, "recovers_after": "PT5M"},
    "unusable": {"state": "unusable", "nodes": 1, "error": DISK_FULL},
    "unknown for a while": {"state": "unknown", "nodes": 1, "recovers_after": "PT40M"},
}

AT_ANY_TIME = (
    "a minute passes",
    "an hour passes",
    "somebody resizes",
    "somebody resizes to nothing",
    "somebody stops the resize",
    "a job comes",
    "a job with a long task comes",
    "a disabled job comes",
    "a job ends",
    "a schedule comes",
    "a disabled schedule comes",
    "a schedule ends",
    *INCIDENTS,
)
"""What may happen also while a run waits."""

COUNTS = st.tuples(st.integers(0, 4), st.integers(0, 2))
TROUBLES = st.one_of(
    st.lists(st.sampled_from(sorted(PASSING)), max_size=2),
    st.tuples(st.sampled_from(sorted(GRAVE)), st.sampled_from(sorted(PASSING))),
)
MISHAPS = st.dictionaries(
    st.integers(1, 25), st.sampled_from(["killed before", "killed after", "answer lost"]), max_size=2
)
MEANWHILE = st.lists(st.sampled_from(["nothing", *AT_ANY_TIME]), max_size=6)
RUN = {"nodes": COUNTS, "troubles": TROUBLES, "meanwhile": MEANWHILE, "mishaps": MISHAPS}
REFRESH = {
    "version": st.sampled_from(VERSIONS),
    "force": st.booleans(),
    "canary": st.booleans(),
    "share": st.sampled_from([1.0, 0.5]),
    "refresh": st.fixed_dictionaries(
        {
            "deallocation": st.sampled_from(["requeue", "task_completion"]),
            "move_tasks": st.sampled_from(["requeue", "wait"]),
            "drain_minutes": st.sampled_from([5, 60]),
            "drain_fallback": st.sampled_from(["requeue", "restore"]),
            "probe_pool": st.booleans(),
            "rollback": st.booleans(),
        }
    ),
    **RUN,
}


class PoolMachine(RuleBasedStateMachine):
    """A pool, its owners, other people, Azure, and the runs between them.

    :ivar jobs: jobs that their owners count on, with whether these have disabled them
    :ivar schedules: job schedules, alike
    :ivar newcomers: jobs and schedules that came during the run that is going on
    :ivar taken_over: whether somebody has steered the pool during that run
    :ivar mishaps: what goes wrong with the n-th write of that run
    """

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, bool] = {}
        self.schedules: dict[str, bool] = {}
        self.newcomers: set[str] = set()
        self.taken_over = False
        self.mishaps: dict[int, str] = {}
        self.writes = 0
        self.numbers = count(1)
        self.stack = ExitStack()
        self.cloud, self.virtual = self.stack.enter_context(virtual_cloud(poll_seconds=60))
        self.stack.enter_context(self._mishaps_of_writes())
        self.images = {version: self.cloud.make_version(version) for version in VERSIONS}

    def teardown(self) -> None:
        self.stack.close()

    @initialize(nodes=COUNTS)
    def a_pool(self, nodes: tuple[int, int]) -> None:
        self.cloud.make_pool(self.images[OLD], dedicated=nodes[0], spot=nodes[1])

    # -- what happens to a pool ----------------------------------------------------------------------------------------

    @rule(what=st.sampled_from(AT_ANY_TIME))
    def happens(self, what: str) -> None:
        if what in INCIDENTS:
            self.cloud.control("POST", "allocations", {"pool": self.current(), "incident": INCIDENTS[what]})
        elif what.endswith("passes"):
            self.cloud.advance(minutes=60 if "hour" in what else 1)
        elif what.startswith("somebody"):
            self.taken_over = True
            scale = {"targetDedicatedNodes": 0 if "nothing" in what else 2, "targetLowPriorityNodes": 0}
            action, body = ("stopresize", None) if "stops" in what else ("resize", scale)
            self.somebody("POST", f"/pools/{self.current()}/{action}", body)
        elif what == "a job ends" and self.jobs:
            self.somebody("DELETE", f"/jobs/{self.jobs.popitem()[0]}")
        elif what == "a schedule ends" and self.schedules:
            self.somebody("DELETE", f"/jobschedules/{self.schedules.popitem()[0]}")
        elif what.endswith("job comes") or "task" in what:
            self.a_job_comes(minutes=200 if "long" in what else 10, disabled="disabled" in what)
        elif what.endswith("schedule comes"):
            self.a_schedule_comes(disabled="disabled" in what)

    def a_job_comes(self, *, minutes: int, disabled: bool) -> None:
        name = f"job-{next(self.numbers)}"
        self.cloud.make_job(name, pool=self.current())
        task = {"id": "task", "commandLine": f"/bin/sleep {minutes * 60}"}
        self.cloud.plane("POST", f"/jobs/{name}/tasks", task)
        if disabled:
            self.cloud.disable_job(name)
        self.jobs[name] = disabled
        self.newcomers.add(name)

    def a_schedule_comes(self, *, disabled: bool) -> None:
        name = f"schedule-{next(self.numbers)}"
        self.cloud.make_schedule(name, pool=self.current())
        if disabled:
            self.cloud.plane("POST", f"/jobschedules/{name}/disable")
        self.schedules[name] = disabled
        self.newcomers.add(name)

    # -- runs ----------------------------------------------------------------------------------------------------------

    @rule(**REFRESH)
    def a_refresh_in_place(self, **how: Any) -> None:
        self.refresh("in_place", **how)

    @rule(**REFRESH)
    def a_refresh_with_a_second_pool(self, **how: Any) -> None:
        self.refresh("blue_green", **how)

    @rule(**REFRESH)
    def a_refresh_by_recreation(self, **how: Any) -> None:
        self.refresh("recreate", **how)

    def refresh(
        self,
        strategy: str,
        *,
        version: str,
        nodes: tuple[int, int],
        force: bool,
        canary: bool,
        share: float,
        refresh: dict[str, Any],
        troubles: Sequence[str],
        meanwhile: list[str],
        mishaps: dict[int, str],
    ) -> None:
        shares = {"dedicated": share, "spot": share}
        spec = self.spec(
            canary={"enabled": canary},
            refresh={**refresh, "strategy": strategy},
            resize={"smallest_acceptable_share": shares},
        )
        had, before = self.size(), self.current()
        run = self.run(spec, {"image_version": version, "dedicated": nodes[0], "spot": nodes[1], "force": force})
        done = self.go(run, pool_dag(ALIAS, spec), troubles, meanwhile, mishaps)
        if done.succeeded:
            assert self.cloud.image_of(self.current()) == self.images[version]
            assert set(self.cloud.node_images(self.current())) <= {self.images[version]}
            if not self.taken_over and INCIDENTS.keys().isdisjoint(meanwhile):
                self.enough_are_ready(self.current())
        if had and sum(nodes) and not self.taken_over and (done.succeeded or refresh["rollback"]):
            assert self.size(), f"no nodes any more: {done}"
        moved = done.succeeded and before != self.current()
        self.no_work_is_lost(gone_from=before if moved else None)
        roles = Counter(self.cloud.marks(name).get("golden_pools_role") for name in self.cloud.pools())
        assert roles["current"] <= 1
        assert not roles["canary"]

    @rule(**RUN)
    def a_resize_by_hand(
        self, nodes: tuple[int, int], troubles: Sequence[str], meanwhile: list[str], mishaps: dict[int, str]
    ) -> None:
        had = self.size()
        run = self.run(self.spec(), {"dedicated": nodes[0], "spot": nodes[1], "why": "a test"}, RESIZE_PARAMS)
        self.go(run, resize_dag([ALIAS]), troubles, meanwhile, mishaps)
        if had and sum(nodes) and not self.taken_over:
            assert self.size()
        self.no_work_is_lost()

    @rule(meanwhile=MEANWHILE, mishaps=MISHAPS)
    def former_pools_retire(self, meanwhile: list[str], mishaps: dict[int, str]) -> None:
        before = self.current()
        self.begin(self.run(self.spec(), {}), meanwhile, mishaps)
        self.do(RetireFormerPoolsOperator(task_id="retire"))
        assert self.current() == before
        self.no_work_is_lost()

    def spec(self, **parts: Any) -> PoolSpec:
        return PoolSpec.model_validate({**small_pool(self.cloud).model_dump(mode="json"), **parts})

    def run(self, spec: PoolSpec, conf: dict[str, Any], keys: tuple[str, ...] = PARAMS) -> Run:
        run_id = f"manual__{next(self.numbers)}"
        return Run(spec, conf=conf, keys=keys, run_id=run_id, stamp=self.virtual.now(), fire=self.virtual.fire)

    def begin(self, run: Run, meanwhile: list[str], mishaps: dict[int, str]) -> None:
        self.present, self.writes, self.mishaps, self.taken_over = run, 0, mishaps, False
        self.newcomers.clear()
        run.in_waits = (partial(self.happens, what) for what in meanwhile)

    def go(self, run: Run, dag: DAG, troubles: Sequence[str], meanwhile: list[str], mishaps: dict[int, str]) -> DagRun:
        self.begin(run, meanwhile, mishaps)
        for trouble in troubles:
            self.cloud.control("POST", "allocations", {"pool": f"{ALIAS}*", **{**PASSING, **GRAVE}[trouble]})
        done = DagRun(dag, run, self.do).go()
        self.cloud.control("DELETE", "allocations")
        event(f"{dag.dag_id} {'succeeded' if done.succeeded else 'failed'}")
        return done

    def do(self, task: BaseOperator) -> Any:
        """Run a task, and again where its worker was killed."""
        while True:
            try:
                result = self.present.do_with_retries(task)
            except Died:
                continue
            if task.task_id.endswith("nodes") and isinstance(result, dict):
                self.promise_is_kept(result)
            return result

    @contextmanager
    def _mishaps_of_writes(self) -> Iterator[None]:
        """Let workers die at the writes that :attr:`mishaps` names, or never learn what became of them."""
        from azure.core.exceptions import ServiceResponseError
        from azure.core.pipeline.transport import RequestsTransport

        send: Callable[..., Any] = RequestsTransport.send

        def send_or_fail(transport: Any, request: Any, **options: Any) -> Any:
            if request.method in ("GET", "HEAD"):
                return send(transport, request, **options)
            self.writes += 1
            fate = self.mishaps.get(self.writes)
            if fate == "killed before":
                raise Died
            answer = send(transport, request, **options)
            if fate == "killed after":
                raise Died
            if fate == "answer lost":
                raise ServiceResponseError("a connection that broke")
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RequestsTransport, "send", send_or_fail)
            yield

    # -- what holds ----------------------------------------------------------------------------------------------------

    def promise_is_kept(self, claimed: dict[str, Any]) -> None:
        """Nodes are ready, as many as the stage says, and enough of them."""
        states = self.states(claimed["pool"])
        assert claimed["dedicated"] <= states[True, "ready"]
        assert claimed["spot"] <= states[False, "ready"]
        self.enough_are_ready(claimed["pool"])

    def enough_are_ready(self, pool: str) -> None:
        """The share that the spec calls a success is ready; a preempted Spot node is Azure's to bring back."""
        plan, states = self.present.plan, self.states(pool)
        shares = plan.spec.resize.smallest_acceptable_share
        assert states[True, "ready"] >= wanted(plan.targets.dedicated, shares.dedicated)
        assert states[False, "ready"] + states[False, "preempted"] >= wanted(plan.targets.spot, shares.spot)

    def no_work_is_lost(self, *, gone_from: str | None = None) -> None:
        """Jobs and schedules are there, bound to a pool that is there, and run unless their owners do not want it.

        :param gone_from: pool that all work has left
        """
        pools = {
            name for name, pool in self.cloud.pools().items() if pool["properties"]["provisioningState"] != "Deleting"
        }
        for name, disabled in self.jobs.items():
            job = self.cloud.plane("GET", f"/jobs/{name}")
            assert job["poolInfo"]["poolId"] in pools
            assert job["state"] in (("disabled", "disabling") if disabled else ("active",)), f"{name} is {job['state']}"
            assert name in self.newcomers or job["poolInfo"]["poolId"] != gone_from
            for task in self.cloud.plane("GET", f"/jobs/{name}/tasks")["value"]:
                assert task["executionInfo"].get("result") != "failure", task
        for name, disabled in self.schedules.items():
            schedule = self.cloud.schedule(name)
            pool = schedule["jobSpecification"]["poolInfo"]["poolId"]
            assert pool in pools
            assert schedule["state"] == ("disabled" if disabled else "active")
            assert name in self.newcomers or pool != gone_from

    # -- looking -------------------------------------------------------------------------------------------------------

    def current(self) -> str:
        """Return the id of the pool that the alias stands for, by what the pools say."""
        marks = {name: self.cloud.marks(name) for name in self.cloud.pools()}
        current = [name for name, said in marks.items() if said.get("golden_pools_role") == "current"]
        return max(current, key=lambda name: marks[name]["golden_pools_since"], default=ALIAS)

    def size(self) -> int:
        """Return how many nodes the alias has that stay."""
        properties = self.cloud.pool(self.current())["properties"]
        fixed = properties["scaleSettings"]["fixedScale"]
        return min(properties["currentDedicatedNodes"], fixed["targetDedicatedNodes"]) + min(
            properties["currentLowPriorityNodes"], fixed["targetLowPriorityNodes"]
        )

    def states(self, pool: str) -> Counter[tuple[bool, str]]:
        """Return how many dedicated (True) and Spot nodes of a pool are in each state."""
        return Counter(
            (node["isDedicated"], "ready" if node["state"] in ("idle", "running") else node["state"])
            for node in self.cloud.plane("GET", f"/pools/{pool}/nodes")["value"]
        )

    def somebody(self, method: str, path: str, body: object = None) -> None:
        """Call the data plane as somebody who takes a no for an answer."""
        answer = HTTP.request(method, f"{self.cloud.url}{path}", params={"api-version": "2025-06-01"}, json=body)
        assert answer.status_code < 300 or answer.status_code in (404, 409), answer.text


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    database=None,
    stateful_step_count=10,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
