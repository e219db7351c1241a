"""One DAG per pool spec: golden VM -> snapshots -> managed image -> gallery version -> Batch pool -> target nodes.

A file in ``include/pools`` is a pool; its name is the pool's name. Files with faults make no DAG here and show as an
import error of ``pool_spec_check.py``; the other pools go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from airflow.sdk import (
    DAG,
    Asset,
    AssetAny,
    AssetOrTimeSchedule,
    BaseOperator,
    CronTriggerTimetable,
    Param,
    TaskGroup,
    TriggerRule,
    chain,
    get_parsing_context,
)
from golden_pools.assets import followed_assets, image_asset, pool_asset
from golden_pools.forms import node_counts
from golden_pools.operators.announce import AnnounceImageOperator
from golden_pools.operators.base import PLAN_TASK_ID, PREFLIGHT_TASK_ID, SOURCE_TASK_ID
from golden_pools.operators.canary import CanaryPoolOperator, MarkImageOperator, RemoveCanaryOperator
from golden_pools.operators.clone import CloneVmOperator, GeneralizeCloneOperator, RemoveCloneOperator
from golden_pools.operators.follow import WaveOperator
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.golden_vm import StartGoldenVmOperator, StopGoldenVmOperator
from golden_pools.operators.image import CreateManagedImageOperator
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.operators.plan import PlanRunOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.probe import ProbeOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.replicate import ReplicateVersionOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.restore_point import RemoveRestorePointOperator, RestorePointOperator
from golden_pools.operators.retirement import TriggerRetirementOperator
from golden_pools.operators.rollback import ReportRollbackOperator, RestorePoolOperator
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.operators.source import ResolveSourceOperator
from golden_pools.operators.switch import SwitchPoolOperator
from golden_pools.retries import DEFAULT_ARGS
from golden_pools.rules.plan import REFRESH_DAG_PREFIX, refresh_dag_id
from golden_pools.spec.loader import load_pools, load_with_followed
from golden_pools.spec.model import PoolSpec, Strategy
from golden_pools.spec.source import Capture, Generalize


def trigger_form(spec: PoolSpec) -> dict[str, Param]:
    """Return the form of the manual trigger."""
    return {
        **node_counts(None if spec.scale else spec.pool.targets),
        "refresh_strategy": Param(
            spec.refresh.strategy.value,
            enum=[strategy.value for strategy in Strategy],
            title="Refresh strategy",
            description="How the pool gets onto the image.",
        ),
        "image_version": Param(
            None,
            type=["null", "string"],
            title="Use this image version instead of building",
            description="`Major.Minor.Patch` of the spec's own definition, or the full ARM id of a version.",
        ),
        "force_rebuild": Param(
            default=False,
            type="boolean",
            title="Build anew",
            description="Make a new image though nothing has changed.",
        ),
        "force": Param(
            default=False,
            type="boolean",
            title="Force",
            description="Recreate a pool even if it has active jobs; take an image version even if it is marked bad.",
        ),
        "plan_only": Param(
            default=False,
            type="boolean",
            title="Plan only",
            description="Say what the run would do and to which resources; write nothing.",
        ),
    }


def schedule_of(
    spec: PoolSpec, others: Mapping[str, Asset]
) -> CronTriggerTimetable | AssetOrTimeSchedule | AssetAny | None:
    """Return the schedule: a time, and for a follower every event of the image or of the pools that go first.

    An event only says when to look; Airflow keeps events of long ago, so it must not wait for one of each.
    """
    time = nightly(spec)
    if not others:
        return time
    follow = spec.image.source.follow
    assert follow is not None
    events = AssetAny(*(others[name] for name in follow.after or (follow.pool,)))
    return AssetOrTimeSchedule(timetable=time, assets=events) if time else events


def nightly(spec: PoolSpec) -> CronTriggerTimetable | None:
    """Return the schedule in the spec's timezone; a new DAG that is switched on at noon waits for the next night.

    That needs both: no start date, and zero as the age up to which a missed run is made up for (``False`` would mean a
    tenth of the interval). A DAG that ran before and was paused makes up for the last night that it missed, at once.
    """
    if spec.schedule is None:
        return None
    return CronTriggerTimetable(spec.schedule.cron, timezone=spec.schedule.timezone, run_immediately=timedelta(0))


def source_in_words(spec: PoolSpec) -> str:
    """Return where the spec's image comes from."""
    if spec.golden_vm is not None:
        return f"golden VM {spec.golden_vm.name}"
    if spec.image.source.follow is not None:
        return f"the image of {spec.image.source.follow.pool}"
    return str(spec.image.source.kind).replace("_", " ")


def pool_dag(pool: str, spec: PoolSpec, specs: Mapping[str, PoolSpec] = MappingProxyType({})) -> DAG:
    """Return the DAG of one pool.

    :param specs: of a follower: those of the pools that it follows or waits for, by name; there may be more
    """
    image, batch, others = image_asset(spec, specs), spec.pool, followed_assets(spec, specs)
    with DAG(
        dag_id=refresh_dag_id(pool),
        dag_display_name=pool,
        description=f"{source_in_words(spec)} -> image -> Batch pool {batch.account}/{pool}",
        doc_md=DOC.format(pool=pool, source=source_in_words(spec), account=batch.account),
        schedule=schedule_of(spec, others),
        catchup=False,
        max_active_runs=1,
        params=trigger_form(spec),
        default_args={**DEFAULT_ARGS, "owner": spec.owner},
        tags=["golden-pools", batch.account],
    ) as dag:
        plan = PlanRunOperator(task_id=PLAN_TASK_ID, pool_name=pool, doc_md="Spec and form become the run plan.")
        source = ResolveSourceOperator(
            task_id=SOURCE_TASK_ID,
            image=image,
            history_of=others,
            inlets=[image, *others.values()],
            doc_md="What the image is made from, and whether this run makes one. Reads only.",
        )
        preflight = PreflightOperator(
            task_id=PREFLIGHT_TASK_ID,
            image=image,
            inlets=[image],
            doc_md="Reads only. All findings at once; errors stop here.",
        )

        chain(plan, source, preflight)
        publish = image_group(spec, preflight) if spec.image.source.kind.makes_images else None
        before_canary = publish or preflight
        if others:
            before_canary = WaveOperator(
                task_id="wave",
                history_of=others,
                inlets=list(others.values()),
                doc_md="Waits for the pause, and for the pool's region; then the version must still be good.",
            )
            preflight >> before_canary

        with TaskGroup("canary", tooltip="One node of the version, before the pool moves"):
            canary = CanaryPoolOperator(
                task_id="pool",
                # The image group is skipped where the run uses a version that is there.
                trigger_rule=TriggerRule.NONE_FAILED,
                doc_md="A pool of one node on the version; skipped where the version has proved good before.",
            )
            probe = ProbeOperator(
                task_id="probe",
                pool_task_id=canary.task_id,
                doc_md="Commands on the node that tell whether the image is good.",
            )
            bad = MarkImageOperator(
                task_id="mark_bad",
                failing_task_ids=[canary.task_id, probe.task_id],
                trigger_rule=TriggerRule.ONE_FAILED,
                doc_md="Only after a failure that speaks against the image: the version is tagged with the reason.",
            )
            remove = RemoveCanaryOperator(
                task_id="remove", doc_md="Whatever happened: the canary goes, and what killed runs left of theirs."
            ).as_teardown(on_failure_fail_dagrun=False)
            chain(canary, probe, [bad, remove])
            canary >> bad

        if publish:  # the regions of other people's versions are theirs to choose
            probe >> ReplicateVersionOperator(
                task_id="replicate",
                trigger_rule=TriggerRule.NONE_FAILED,
                doc_md="To the spec's other regions while the pool moves; a region that failed is asked again.",
            )

        with TaskGroup("pool", tooltip="Image version to nodes"):
            refresh = RefreshPoolOperator(
                task_id="refresh",
                trigger_rule=TriggerRule.NONE_FAILED,
                doc_md="Put the pool on the version, or prepare a second one, as `refresh.strategy` says.",
            )
            resize = ResizePoolOperator(
                task_id="resize",
                pool_task_id=refresh.task_id,
                tend_nodes=True,
                doc_md="Resize, judge, resize again until the target is there.",
            )
            nodes = ReadyNodesOperator(
                task_id="nodes",
                pool_task_id=resize.task_id,
                doc_md="Ready means `idle` or `running`; failed nodes are rebooted or replaced within `resize.clinic`.",
            )
            probe_pool = ProbeOperator(
                task_id="probe",
                pool_task_id=refresh.task_id,
                doc_md="The probes once more, on the pool itself, with `refresh.probe_pool`.",
            )
            switch = SwitchPoolOperator(
                task_id="switch",
                pool_task_id=refresh.task_id,
                trigger_rule=TriggerRule.NONE_FAILED,
                doc_md="Jobs and the alias go to the pool; with one pool it only says whose it is.",
            )
            record = RecordPassportOperator(
                task_id="record",
                publish_task_id=publish.task_id if publish else None,
                refresh_task_id=refresh.task_id,
                nodes_task_id=nodes.task_id,
                probe_task_ids=[probe.task_id, probe_pool.task_id],
                asset=pool_asset(pool, spec),
                outlets=[pool_asset(pool, spec)],
                doc_md="The version is good; its passport goes out with the pool's asset event.",
            )
            retire = TriggerRetirementOperator(
                task_id="retire",
                pool_name=pool,
                switch_task_id=switch.task_id,
                doc_md="Starts `retire_former_pools` for the pool that was switched away from, if there is one.",
            )
            announce = AnnounceImageOperator(
                task_id="announce",
                record_task_id=record.task_id,
                asset=image,
                outlets=[image],
                doc_md="Only when the version has become good: `latest` may mean it, followers get the event.",
            )
            pool_stages: list[BaseOperator] = [refresh, resize, nodes, probe_pool, switch]
            chain(*pool_stages, record, [announce, retire])

        with TaskGroup("rollback", tooltip="Only after a failure: back to the version before"):
            failed_stages = [stage.task_id for stage in pool_stages]
            mark = MarkImageOperator(
                task_id="mark_bad",
                failing_task_ids=failed_stages,
                trigger_rule=TriggerRule.ONE_FAILED,
                doc_md="Only after a failure that speaks against the image: the version is tagged with the reason.",
            )
            restore = RestorePoolOperator(
                task_id="restore",
                refresh_task_id=refresh.task_id,
                switch_task_id=switch.task_id,
                stage_task_ids=failed_stages,
                trigger_rule=TriggerRule.ONE_FAILED,
                doc_md="The pool is put back on the version and the settings that it had, jobs and alias too.",
            )
            regrow = ResizePoolOperator(
                task_id="resize",
                pool_task_id=restore.task_id,
                even_partly=True,
                doc_md="Back to the size that it had, as far as the quotas let it.",
            )
            report = ReportRollbackOperator(
                task_id="report",
                restore_task_id=restore.task_id,
                stage_task_ids=[regrow.task_id],
                doc_md="Fails on purpose after a rollback, and says what is on the pool now; skipped otherwise.",
            )
            chain(pool_stages, restore)
            chain(pool_stages, mark)
            chain(restore, regrow, report)

        before_canary >> canary
        probe >> refresh
    return dag


def image_group(spec: PoolSpec, before: BaseOperator) -> BaseOperator:
    """Add what the spec's source needs to become an image version, after the task ``before``; returns its last task."""
    with TaskGroup("image", tooltip=f"{source_in_words(spec)} to image version"):
        snapshot = snapshot_stages(spec.golden_vm.capture, before) if spec.golden_vm else None
        captured, clone = snapshot or before, None
        if snapshot and spec.golden_vm and spec.golden_vm.generalize is Generalize.CLONE:
            captured = clone = clone_stages(snapshot)
        managed_image = CreateManagedImageOperator(
            task_id="managed_image",
            snapshot_task_id=snapshot.task_id if snapshot else None,
            clone_task_id=clone.task_id if clone else None,
            doc_md="Skipped where Azure makes none (Trusted Launch, Arm64, NVMe), or one is there.",
        )
        publish = PublishImageVersionOperator(
            task_id="publish",
            image_task_id=managed_image.task_id,
            snapshot_task_id=snapshot.task_id if snapshot else None,
            clone_task_id=clone.task_id if clone else None,
            trigger_rule=TriggerRule.NONE_FAILED,
            doc_md="Version in the Compute Gallery, in its own region and the pool's.",
        )
        chain(captured, managed_image, publish)
        if clone:
            remove = RemoveCloneOperator(
                task_id="remove_clone", doc_md="Whatever happened: VM, network card and disks of the clone go."
            ).as_teardown(on_failure_fail_dagrun=False)
            publish >> remove
    return publish


def clone_stages(snapshot: BaseOperator) -> BaseOperator:
    """Add the throwaway VM that is generalized for the golden VM; returns the task whose XCom is its ARM id."""
    clone_vm = CloneVmOperator(
        task_id="clone_vm", snapshot_task_id=snapshot.task_id, doc_md="A throwaway VM from the snapshots."
    )
    generalize = GeneralizeCloneOperator(
        task_id="generalize_clone",
        clone_task_id=clone_vm.task_id,
        doc_md="Script in the guest, deallocate, flag: on the throwaway VM, never on the golden one.",
    )
    chain(snapshot, clone_vm, generalize)
    return generalize


def snapshot_stages(capture: Capture, before: BaseOperator) -> BaseOperator:
    """Add the copying of the golden VM's disks; returns the task whose XCom is the snapshot set."""
    copy = partial(SnapshotGoldenVmOperator, task_id="snapshot", doc_md="OS disk and all data disks: one unit.")
    if capture is Capture.RESTORE_POINT:
        point = RestorePointOperator(
            task_id="restore_point", doc_md="All disks of the running VM at one moment, and a disk of each."
        )
        snapshot = copy()
        remove = RemoveRestorePointOperator(
            task_id="remove_restore_point", doc_md="Whatever happened: restore point and disks of it go."
        ).as_teardown(on_failure_fail_dagrun=False)
        chain(before, point, snapshot, remove)
        return snapshot
    stop = StopGoldenVmOperator(task_id="stop_golden_vm", doc_md="Only with `capture: deallocated` or `stopped`.")
    snapshot = copy()
    start = StartGoldenVmOperator(
        task_id="start_golden_vm",
        stop_task_id=stop.task_id,
        doc_md="Whatever happened: the golden VM runs again if it did before.",
    ).as_teardown(on_failure_fail_dagrun=True)
    chain(before, stop, snapshot, start)
    return snapshot


DOC = """\
### Batch pool `{account}/{pool}` on a fresh image of {source}

| stage | may be retried or cleared |
|---|---|
| plan, source, preflight | any time; they only read |
| image | any time: what this run made is adopted, nothing is made twice; a *new* image needs a new run |
| canary | any time: a new node is tried; a version that was marked bad needs *force* in a run of its own |
| pool | any time: the pool is looked at first and brought on from the state it is in |
| rollback | only tasks that failed; *report* is red whenever the pool was put back, and needs no clearing |

Trigger it by hand for other node counts, for *plan only*, or for an image version that is there: an older one is the
way back by hand.
"""


def build_dags() -> None:
    """Build the DAGs of all good specs, or, at a task's start, that task's alone: reading the others would be waste."""
    own_dag = get_parsing_context().dag_id
    if own_dag is None:
        specs = load_pools().specs
        for pool, spec in specs.items():
            pool_dag(pool, spec, specs)
        return
    pool = own_dag.removeprefix(REFRESH_DAG_PREFIX)
    followed = load_with_followed(pool)
    pool_dag(pool, followed[pool], followed)


build_dags()
