"""A run without Airflow's processes: the tasks of one DAG run against a live simulator, waits included."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped, TaskAwaitingInput, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from golden_pools.errors import AzureBusyError
from golden_pools.hooks.batch_work import BatchWorkHook
from golden_pools.operators import base
from golden_pools.operators.base import pulled
from golden_pools.retries import RETRIES
from golden_pools.rules.plan import PARAMS, make_plan
from golden_pools.rules.source import ImageSource, System, road_for
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.source import Capture
from golden_pools.triggers import first_look

from include.azure_simulator.clock import Clock
from include.azure_simulator.world import World
from tests.simulator import ANSWER_SECONDS, serve

if TYPE_CHECKING:
    from tests.operators.roads import Scene

STAMP = datetime(2026, 11, 22, 2, 0, 5, tzinfo=UTC)
SPEED = 1200.0
"""Twenty simulated minutes a second: a gallery version takes less than a second."""


COMPUTE = "resourceGroups/images/providers/Microsoft.Compute"
ACCOUNT = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch"
DEFINITION = f"{COMPUTE}/galleries/golden_gallery/images/small"
API_VERSIONS = {
    "/pools": "2025-06-01",
    "/snapshots": "2026-03-02",
    "/disks": "2026-03-02",
    "/galleries": "2026-03-03",
    "/virtualMachines": "2026-04-01",
    "/images": "2026-04-01",
}

OLD, NEW = "2026.1101.20005", "2026.1121.20005"
"""Versions that :meth:`Cloud.make_version` may make before a run."""

SECOND = "small-2026-1121-20005"
"""Id of the pool that carries the version ``NEW`` beside the pool ``small``."""


HTTP = httpx.Client(timeout=ANSWER_SECONDS)
"""One for all: to make a client takes longer than a request."""

HANG_SECONDS = 300
"""A trigger that fires at all does so long before."""


@dataclass
class Cloud:
    """A live simulator that the sample connection leads to, and what a test may do to it behind the run's back."""

    world: World
    url: str

    @property
    def subscription(self) -> str:
        return next(iter(self.world.subscriptions))

    def requests(self) -> list[dict[str, Any]]:
        """Return every request with its answer, in order, as the simulator logs it."""
        return [json.loads(line) for line in self.world.traffic.lines()]

    def writes(self) -> list[str]:
        """Return method and path of every request that changed something, in order."""
        return [
            f"{entry['method']} {entry['url'].split('?')[0].removeprefix(self.url)}"
            for entry in self.requests()
            if entry["method"] not in ("GET", "HEAD")
        ]

    def forget(self) -> None:
        """Forget the requests so far: those of a test's own arrangements."""
        self.control("DELETE", "log")

    # -- control -------------------------------------------------------------------------------------------------------

    def control(self, method: str, what: str, body: object = None) -> None:
        HTTP.request(method, f"{self.url}/_simulator/{what}", json=body).raise_for_status()

    def freeze(self) -> None:
        """Let time pass by :meth:`advance` only."""
        self.control("PATCH", "clock", {"speed": 0})

    def advance(self, **span: float) -> None:
        self.control("PATCH", "clock", {"advance": timedelta(**span).total_seconds()})

    def fault(self, **fault: object) -> None:
        self.control("POST", "faults", fault)

    def allocation(self, **script: object) -> None:
        self.control("POST", "allocations", {"pool": "small", **script})

    def command(self, **script: object) -> None:
        """Say what the next commands on nodes come to."""
        self.control("POST", "commands", script)

    def configure(self, **settings: object) -> None:
        self.control("PATCH", "settings", settings)

    # -- other people's calls ------------------------------------------------------------------------------------------

    def arm(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call a path below the subscription, as somebody else would."""
        version = next(version for kind, version in API_VERSIONS.items() if kind in path)
        url = f"{self.url}/subscriptions/{self.subscription}/{path}"
        answer = HTTP.request(method, url, params={"api-version": version}, json=body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json()) if answer.content else {}

    def plane(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call the Batch data plane."""
        answer = HTTP.request(method, f"{self.url}{path}", params={"api-version": "2025-06-01"}, json=body)
        assert answer.status_code < 300, answer.text
        return dict(answer.json()) if answer.content else {}

    def make_version(self, name: str = NEW, *, data_disks: int = 0, **tags: str) -> str:
        """Make an image version of the golden VM's OS disk and first data disks; returns its ARM id."""
        kinds = ["os", *(f"data-{lun}" for lun in range(data_disks))]
        snapshots = [self._copy_disk(f"golden-vm-{kind}", f"by-hand-{name}-{kind}") for kind in kinds]
        properties = {
            "osType": "Linux",
            "osState": "Generalized",
            "hyperVGeneration": "V2",
            "identifier": {"publisher": "GoldenPools", "offer": "small", "sku": "golden"},
            "features": [{"name": "SecurityType", "value": "Standard"}],
        }
        self.arm("PUT", DEFINITION, {"location": "westeurope", "properties": properties})
        self.advance(minutes=5)
        source = {
            "osDiskImage": {"source": {"id": snapshots[0]}},
            "dataDiskImages": [{"lun": lun, "source": {"id": id_}} for lun, id_ in enumerate(snapshots[1:])],
        }
        regions = [{"name": "westeurope", "regionalReplicaCount": 1}]
        properties = {"storageProfile": source, "publishingProfile": {"targetRegions": regions}}
        body = {"location": "westeurope", "tags": tags, "properties": properties}
        self.arm("PUT", f"{DEFINITION}/versions/{name}", body)
        self.advance(hours=1)
        return f"/subscriptions/{self.subscription}/{DEFINITION}/versions/{name}"

    def _copy_disk(self, disk: str, snapshot: str) -> str:
        disks = f"/subscriptions/{self.subscription}/resourceGroups/golden/providers/Microsoft.Compute/disks"
        copy = {"createOption": "Copy", "sourceResourceId": f"{disks}/{disk}"}
        body = {"location": "westeurope", "properties": {"creationData": copy, "incremental": True}}
        self.arm("PUT", f"{COMPUTE}/snapshots/{snapshot}", body)
        return f"/subscriptions/{self.subscription}/{COMPUTE}/snapshots/{snapshot}"

    def make_managed_image(self, name: str) -> str:
        """Make a managed image of the golden VM's OS disk, as Packer does; returns its ARM id."""
        disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": self._copy_disk("golden-vm-os", name)}}
        properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}}
        self.advance(minutes=5)
        self.arm("PUT", f"{COMPUTE}/images/{name}", {"location": "westeurope", "properties": properties})
        self.advance(minutes=5)
        return f"/subscriptions/{self.subscription}/{COMPUTE}/images/{name}"

    def make_pool(
        self, image: str, *, name: str = "small", dedicated: int = 0, spot: int = 0, **properties: object
    ) -> None:
        """Make a pool on an image, and wait until its nodes are idle."""
        machine = {"imageReference": {"id": image}, "nodeAgentSkuId": "batch.node.ubuntu 24.04"}
        body = {
            "properties": {
                "vmSize": "STANDARD_D2S_V5",
                "deploymentConfiguration": {"virtualMachineConfiguration": machine},
                "scaleSettings": {"fixedScale": _fixed(dedicated, spot)},
                **properties,
            }
        }
        self.arm("PUT", f"{ACCOUNT}/pools/{name}", body)
        self.advance(minutes=30)
        self.forget()

    def resize(self, *, dedicated: int, spot: int = 0, name: str = "small") -> None:
        """Resize a pool, as somebody else would."""
        body = {"properties": {"scaleSettings": {"fixedScale": _fixed(dedicated, spot)}}}
        self.arm("PATCH", f"{ACCOUNT}/pools/{name}", body)

    def delete_pool(self, name: str = "small") -> None:
        self.arm("DELETE", f"{ACCOUNT}/pools/{name}")

    def pool(self, name: str = "small") -> dict[str, Any]:
        """Return a pool as ARM shows it."""
        return self.arm("GET", f"{ACCOUNT}/pools/{name}")

    def pools(self) -> dict[str, dict[str, Any]]:
        """Return the pools of the account by id; those that are being deleted too."""
        return {pool["name"]: pool for pool in self.arm("GET", f"{ACCOUNT}/pools")["value"]}

    def image_of(self, name: str = "small") -> str:
        """Return the image that a pool's next nodes get."""
        machine = self.pool(name)["properties"]["deploymentConfiguration"]["virtualMachineConfiguration"]
        return str(machine["imageReference"]["id"])

    def marks(self, name: str = "small") -> dict[str, str]:
        """Return a pool's metadata."""
        return {item["name"]: item["value"] for item in self.pool(name)["properties"].get("metadata") or ()}

    def mark(self, name: str, **marks: str) -> None:
        """Set a pool's metadata; ours without their prefix."""
        pairs = [{"name": f"golden_pools_{mark}", "value": value} for mark, value in marks.items()]
        self.arm("PATCH", f"{ACCOUNT}/pools/{name}", {"properties": {"metadata": pairs}})

    def node_images(self, name: str = "small") -> list[str]:
        """Return what each node of a pool really runs on."""
        nodes = self.plane("GET", f"/pools/{name}/nodes")["value"]
        return [node["virtualMachineInfo"]["imageReference"]["virtualMachineImageId"] for node in nodes]

    def make_job(
        self, name: str = "work", *, pool: str = "small", disabled: bool = False, **properties: object
    ) -> None:
        """Make a job without tasks on a pool."""
        self.plane("POST", "/jobs", {"id": name, "poolInfo": {"poolId": pool}, **properties})
        if disabled:
            self.disable_job(name)
            self.advance(minutes=1)

    def disable_job(self, name: str = "work", tasks: str = "requeue") -> None:
        self.plane("POST", f"/jobs/{name}/disable", {"disableTasks": tasks})

    def make_schedule(self, name: str = "nightly", *, pool: str = "small", **specification: object) -> None:
        """Make a schedule of a job every ten hours on a pool; its first job is there at once."""
        body = {
            "id": name,
            "schedule": {"recurrenceInterval": "PT10H"},
            "jobSpecification": {"poolInfo": {"poolId": pool}, **specification},
        }
        self.plane("POST", "/jobschedules", body)

    def schedule(self, name: str = "nightly") -> dict[str, Any]:
        return self.plane("GET", f"/jobschedules/{name}")

    def run_task(self, *, minutes: float, job: str = "work", pool: str = "small") -> None:
        """Let a task run on a node of a pool for so long."""
        self.plane("POST", "/jobs", {"id": job, "poolInfo": {"poolId": pool}})
        self.plane("POST", f"/jobs/{job}/tasks", {"id": "long", "commandLine": f"/bin/sleep {round(minutes * 60)}"})
        self.advance(seconds=1)

    def job(self, name: str = "work") -> tuple[str, str]:
        """Return the pool of a job, and its state."""
        job = self.plane("GET", f"/jobs/{name}")
        return job["poolInfo"]["poolId"], job["state"]

    def task(self, job: str = "work") -> dict[str, Any]:
        """Return the task of :meth:`run_task`: its state, exit code, and how often it went back into the queue."""
        task = self.plane("GET", f"/jobs/{job}/tasks/long")
        run = task["executionInfo"]
        return {"state": task["state"], "exit_code": run.get("exitCode"), "requeues": run.get("requeueCount")}


def _fixed(dedicated: int, spot: int) -> dict[str, Any]:
    return {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": spot, "resizeTimeout": "PT15M"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The sample world at a clock that runs, and the connection ``azure_default`` to it."""
    world = World.load(clock=Clock(speed=SPEED, start=STAMP))
    monkeypatch.setattr(first_look, "SECONDS", 0.01)
    with serve(world) as url:
        extra = {"arm_endpoint": url, "poll_seconds": 1}
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps({"conn_type": "azure", "extra": extra}))
        yield Cloud(world, url)


@pytest.fixture
def images(cloud: Cloud) -> dict[str, str]:
    """Two image versions, and a clock that stands still."""
    cloud.freeze()
    return {version: cloud.make_version(version) for version in (OLD, NEW)}


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A pool on the old version, and one clock for Azure and Airflow."""
    from tests.operators.roads import make_scene

    with make_scene() as made:
        yield made


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put the worker's clock forward, by a span as ``timedelta`` takes it; the triggerer's and Azure's stay."""
    offset = timedelta(0)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + offset

    def put_forward(**span: float) -> None:
        nonlocal offset
        offset += timedelta(**span)

    monkeypatch.setattr(base, "datetime", Shifted)
    return put_forward


class FakeStore:
    """A task state store: it survives retries and clears of its task."""

    def __init__(self, values: MutableMapping[str, str] | None = None) -> None:
        self.values = {} if values is None else values

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None  # as Airflow's own store
        self.values[key] = json.dumps(value)
        assert json.loads(self.values[key]) == value, "Airflow's store takes nothing but JSON"


class AssetStores(dict[str, FakeStore]):
    """State stores of assets: they survive runs."""

    def __getitem__(self, asset: Any) -> FakeStore:
        return self.setdefault(asset.name, FakeStore())


@dataclass(frozen=True)
class Question:
    """What a task asks a person, who has so long to answer until the default holds."""

    subject: str
    body: str
    defaults: list[str]
    time: timedelta


class Supervisor:
    """What takes a task's messages to Airflow: here it takes questions, which :meth:`Run._ask` answers."""

    def send(self, msg: Any) -> None:
        assert isinstance(msg, CreateHITLDetailPayload), f"{type(msg).__name__}: nobody takes this"


@dataclass
class Run:
    """One DAG run: XComs and task state stores of its tasks, and the triggers they waited on with their arguments.

    :param xcoms: what tasks returned
    :param pushed: what they pushed under other keys, by task and key
    :param keys: keys of the DAG's form
    :param running: DAGs that have a run that is going on
    :param followed: specs of the pools that the spec follows or waits for
    :param log: events of assets by name, in order, which survive runs
    :param clock: tells the time of an event
    :param states: how tasks ended, where the run is one of a DAG
    :param in_waits: what happens in the waits to come, one for each, before their triggers look
    :param fire: waits until a trigger fires, at most so long
    :param answer: what a person answers to a question: the option and the person's name; None: nothing, in time
    :param questions: what people were asked
    :param skipped: tasks that another one has skipped
    """

    spec: PoolSpec
    pool: str = "small"
    conf: dict[str, Any] = field(default_factory=dict)
    run_id: str = "manual__1"
    stamp: datetime = STAMP
    xcoms: dict[str, Any] = field(default_factory=dict)
    pushed: MutableMapping[tuple[str, str], Any] = field(default_factory=dict)
    stores: dict[str, FakeStore] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    asset_stores: AssetStores = field(default_factory=lambda: AssetStores())
    deferrals: list[str] = field(default_factory=list)
    kwargs: list[dict[str, Any]] = field(default_factory=list)
    keys: tuple[str, ...] = PARAMS
    scheduled: bool = False
    running: set[str] = field(default_factory=set)
    followed: Mapping[str, PoolSpec] = field(default_factory=dict)
    log: dict[str, list[SimpleNamespace]] = field(default_factory=lambda: defaultdict(list))
    clock: Callable[[], datetime] = lambda: STAMP
    states: dict[str, str] = field(default_factory=dict)
    in_waits: Iterable[Callable[[], object]] = ()
    fire: Callable[[BaseTrigger, timedelta], TriggerEvent] = field(default_factory=lambda: fire)
    answer: Callable[[Question], tuple[str, str] | None] = lambda _: None
    questions: list[Question] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        plan = make_plan(
            self.spec,
            pool=self.pool,
            dag_id=f"golden_pool_{self.pool}",
            run_id=self.run_id,
            triggered_by="somebody",
            stamp=self.stamp,
            conf=self.conf,
            params={"plan_only": False, **self.conf},
            keys=self.keys,
            followed=self.followed,
            scheduled=self.scheduled,
        )
        self.plan = plan
        self.xcoms["plan"] = json.loads(plan.model_dump_json())
        if plan.existing_version_id is None and self.spec.golden_vm is not None:
            self.xcoms["source"] = seen_golden_vm(self.spec)

    def xcom(self, task_id: str) -> Any:
        """Return what a task returned, as other tasks read it."""
        return pulled(self.context(SimpleNamespace(task_id="reader")), task_id)

    def context(self, task: Any) -> dict[str, Any]:
        ti = TaskInstance(self, task.task_id)
        return {
            "ti": ti,
            "task_instance": ti,
            "task": task,
            "dag_run": SimpleNamespace(dag_id=self.plan.dag_id, run_id=self.run_id, run_after=self.stamp),
            "task_state_store": self.stores.setdefault(task.task_id, FakeStore()),
            "outlet_events": _OutletEvents(self.events),
            "inlet_events": _InletEvents(self.log, task),
            "asset_state_store": self.asset_stores,
        }

    def start_try(self, task: BaseOperator) -> None:
        """Forget what the task left in XCom, as Airflow does when a try starts."""
        self.xcoms.pop(task.task_id, None)
        for pushed in [pushed for pushed in self.pushed if pushed[0] == task.task_id]:
            del self.pushed[pushed]

    def do(self, task: BaseOperator) -> Any:
        """Run a task to its end, through all its waits; returns its XCom."""
        self.start_try(task)
        return self._go_through(task, "execute", {})

    def resume(self, task: BaseOperator) -> Any:
        """Let a task that has begun look again, as after a wait, and run it to its end; returns its XCom."""
        return self._go_through(task, "go_on", {"event": {}})

    def _go_through(self, task: BaseOperator, method_name: str, arguments: dict[str, Any]) -> Any:
        coming = iter(self.in_waits)
        context = self.context(task)
        while True:
            try:
                result = self.work(task, method_name, context, arguments)
            except AirflowSkipException as skipped:
                return f"skipped: {skipped}"
            except DownstreamTasksSkipped as skipped:
                self.skipped |= {str(name) for name in skipped.tasks}
                return self.xcom(task.task_id)
            except TaskAwaitingInput as waits:
                method_name, arguments = waits.method_name, {"event": self._ask(task, waits)}
                continue
            except TaskDeferred as deferred:
                wait = deferred
            else:
                return self._finished(task, result)
            self.deferrals.append(type(wait.trigger).__name__)
            self.kwargs.append(wait.trigger.serialize()[1])
            assert wait.timeout is not None, "a wait without a deadline"
            next(coming, lambda: None)()
            event = self.fire(reborn(wait.trigger), wait.timeout)
            if isinstance(event, TaskSuccessEvent):
                # Airflow 3.3.2 encodes the XCom of a task that ends in the triggerer twice.
                xcoms = {key: json.dumps(value) for key, value in (event.xcoms or {}).items()}
                result = xcoms.pop("return_value", "null")
                self.pushed.update({(task.task_id, key): value for key, value in xcoms.items()})
                return self._finished(task, result)
            method_name = wait.method_name
            arguments = {"event": json.loads(json.dumps(event.payload))}

    def _ask(self, task: Any, waits: TaskAwaitingInput) -> dict[str, Any]:
        """Put the task's question to a person, and return the event that Airflow makes of the answer, or of none."""
        from airflow.models.hitl import HITLDetail

        assert waits.timeout is not None, "a question without a deadline"
        question = Question(task.subject, task.body, task.defaults, waits.timeout)
        self.questions.append(question)
        chosen, user = self.answer(question) or (task.defaults[0], None)
        detail = HITLDetail(
            chosen_options=[chosen],
            params_input={},
            responded_at=self.clock(),
            responded_by={"id": user, "name": user} if user else None,
        )
        return deepcopy(detail.as_resume_event_payload(timedout=user is None))

    def work(self, task: BaseOperator, method_name: str, context: dict[str, Any], arguments: dict[str, Any]) -> Any:
        """Do what a worker does of a task at one go: up to its end, or to its next wait."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
            return getattr(task, method_name)(context, **arguments)

    def _finished(self, task: BaseOperator, result: Any) -> Any:
        if result is not None:
            self.xcoms[task.task_id] = json.loads(json.dumps(result))
        for asset in task.outlets:
            event = SimpleNamespace(timestamp=self.clock(), extra=self.events.get(asset.name, {}))
            self.log[asset.name].append(event)
        return self.xcom(task.task_id)

    def do_with_retries(self, task: BaseOperator) -> Any:
        """Run a task as Airflow does under the project's retry policy: busy is tried again, up to three times."""
        for _ in range(RETRIES):
            try:
                return self.do(task)
            except AzureBusyError:
                continue
        return self.do(task)

    def begin(self, task: BaseOperator) -> BaseTrigger:
        """Run a task up to its first wait; returns the trigger it waits on."""
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(self.context(task))
        return deferred.value.trigger


def seen_golden_vm(spec: PoolSpec) -> dict[str, Any]:
    """Return what the stage ``source`` sees of the sample world's golden VM."""
    system = System(location="westeurope", os_type="Linux", generation="V2")
    assert spec.golden_vm is not None
    return ImageSource(
        builds=True, reason="golden VM golden-vm", road=road_for(spec, system), system=system
    ).model_dump(mode="json")


@dataclass
class TaskInstance:
    """What tasks use of Airflow's task instance."""

    run: Run
    task_id: str
    map_index: int = -1
    id: UUID = field(default_factory=uuid4)

    @property
    def dag_id(self) -> str:
        return self.run.plan.dag_id

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        if key == "return_value":
            return self.run.xcoms.get(task_ids)
        return self.run.pushed.get((task_ids, key))

    def xcom_push(self, *, key: str, value: Any) -> None:
        value = json.loads(json.dumps(value))
        if key == "return_value":
            self.run.xcoms[self.task_id] = value
        else:
            self.run.pushed[self.task_id, key] = value

    def get_task_breadcrumbs(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks that have ended, as Airflow's API does; a skipped one may have no duration."""
        assert (dag_id, run_id) == (self.run.plan.dag_id, self.run.run_id)
        ended = self.run.states or dict.fromkeys(self.run.xcoms, "success")
        return [
            {"task_id": name, "map_index": -1, "state": str(state), "operator": "", "duration": 61.54}
            for name, state in ended.items()
        ] + [{"task_id": "skipped", "map_index": -1, "state": "skipped", "operator": "", "duration": None}]

    def get_dr_count(self, *, dag_id: str, states: list[str]) -> int:
        """Return how many runs of a DAG are going on, as Airflow's API does."""
        assert states == ["running"]
        return int(dag_id in self.run.running)


class _OutletEvents:
    def __init__(self, events: dict[str, dict[str, Any]]) -> None:
        self._events = events

    def __getitem__(self, asset: Any) -> Any:
        events = self._events

        class Event:
            def __setattr__(self, name: str, value: Any) -> None:
                assert name == "extra"
                events[asset.name] = json.loads(json.dumps(value))

        return Event()


class _InletEvents:
    """Events of the assets that a task reads, asked for as in Airflow: the latest first, and not all."""

    def __init__(self, log: Mapping[str, list[SimpleNamespace]], task: Any) -> None:
        self._log = log
        self._names = {asset.name for asset in getattr(task, "inlets", ())}
        self._found: list[SimpleNamespace] = []

    def __getitem__(self, asset: Any) -> _InletEvents:
        assert asset.name in self._names, "Airflow knows the events of a task's inlets only"
        self._found = list(self._log[asset.name])
        return self

    def ascending(self, *, ascending: bool) -> _InletEvents:
        assert not ascending
        self._found.reverse()
        return self

    def limit(self, number: int) -> list[SimpleNamespace]:
        return self._found[:number]


def just_before(
    monkeypatch: pytest.MonkeyPatch, method: str, happens: Callable[..., object], *, times: int = 1
) -> None:
    """Let something happen between the run's look and its next calls of a hook's method."""
    real, left = getattr(BatchWorkHook, method), times

    def called(self: BatchWorkHook, *arguments: Any, **keywords: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            happens()
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(BatchWorkHook, method, called)


class Died(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def kill_at_write(run: Run, task: BaseOperator, number: int, *, sent: bool) -> None:
    """Run a task whose worker is killed at its n-th write, before or after the request reaches Azure."""
    from azure.core.pipeline.transport import RequestsTransport

    send: Callable[..., Any] = RequestsTransport.send
    writes = 0

    def send_and_die(transport: Any, request: Any, **options: Any) -> Any:
        nonlocal writes
        if request.method in ("GET", "HEAD"):
            return send(transport, request, **options)
        writes += 1
        if writes == number and not sent:
            raise Died
        answer = send(transport, request, **options)
        if writes == number:
            raise Died
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RequestsTransport, "send", send_and_die)
        with pytest.raises(Died):
            run.do(task)


def reborn(trigger: BaseTrigger) -> BaseTrigger:
    """Return the trigger as a restarted triggerer makes it: from its serialized arguments alone."""
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    return type(trigger)(**json.loads(json.dumps(arguments)))


def fire(trigger: BaseTrigger, _: timedelta | None = None) -> TriggerEvent:
    """Run a trigger until it fires; Airflow's timeout is hours of a clock that runs fast."""
    return asyncio.run(asyncio.wait_for(first_event(trigger), HANG_SECONDS))


async def first_event(trigger: BaseTrigger) -> TriggerEvent:
    """Return the event that a trigger fires."""
    async with aclosing(trigger.run()) as events:  # type: ignore[type-var]
        return await anext(events)


@pytest.fixture
def spec(cloud: Cloud) -> PoolSpec:
    """A small pool of the sample world with the golden VM's own system."""
    return small_pool(cloud)


def small_pool(cloud: Cloud) -> PoolSpec:
    """Return the spec of a pool of three nodes."""
    return PoolSpec.model_validate(
        {
            "subscription": next(iter(cloud.world.subscriptions)),
            "golden_vm": {"resource_group": "golden", "name": "golden-vm"},
            "image": {
                "resource_group": "images",
                "gallery": "golden_gallery",
                "definition": "small",
                "target_regions": [{"name": "northeurope"}],
            },
            "pool": {
                "resource_group": "batch",
                "account": "goldenbatch",
                "vm_size": "Standard_D2s_v5",
                "node_agent_sku": "batch.node.ubuntu 24.04",
                "targets": {"dedicated": 3},
            },
        }
    )


@pytest.fixture
def run(spec: PoolSpec) -> Run:
    """A run of that pool."""
    return Run(spec)


def with_refresh(spec: PoolSpec, **refresh: object) -> PoolSpec:
    """Return the spec with this refresh part."""
    return PoolSpec.model_validate({**spec.model_dump(mode="json"), "refresh": refresh})


def left_running(spec: PoolSpec) -> PoolSpec:
    """Return the spec with a golden VM that is not stopped, for tests that begin with the snapshots."""
    assert spec.golden_vm is not None
    return spec.model_copy(update={"golden_vm": spec.golden_vm.model_copy(update={"capture": Capture.RUNNING})})
