"""One DAG per pool spec: golden VM -> snapshots -> managed image -> gallery version -> Batch pool -> target nodes.

A file in ``include/pools`` is a pool; its name is the pool's name. Files with faults make no DAG here and show as an
import error of ``pool_spec_check.py``; the other pools go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow.sdk import (
    DAG,
    BaseOperator,
    TaskGroup,
    TriggerRule,
    chain,
    get_parsing_context,
)
from golden_pools.assets import followed_assets, image_asset, pool_asset
from golden_pools.clearing import OF_A_POOL, explain
from golden_pools.deadline import deadline_of
from golden_pools.forms import refresh_form
from golden_pools.image_group import image_group, source_in_words
from golden_pools.operators.alert import AlertRunOperator
from golden_pools.operators.announce import AnnounceImageOperator
from golden_pools.operators.approve import ApproveMoveOperator
from golden_pools.operators.base import PLAN_TASK_ID, PREFLIGHT_TASK_ID, SOURCE_TASK_ID, airflow_link
from golden_pools.operators.canary import CanaryPoolOperator, MarkImageOperator, RemoveCanaryOperator
from golden_pools.operators.follow import WaveOperator
from golden_pools.operators.nodes import ReadyNodesOperator
from golden_pools.operators.passport import RecordPassportOperator
from golden_pools.operators.plan import PlanRunOperator
from golden_pools.operators.preflight import PreflightOperator
from golden_pools.operators.probe import ProbeOperator
from golden_pools.operators.refresh import RefreshPoolOperator
from golden_pools.operators.replicate import ReplicateVersionOperator
from golden_pools.operators.resize import ResizePoolOperator
from golden_pools.operators.retirement import TriggerRetirementOperator
from golden_pools.operators.rollback import ReportRollbackOperator, RestorePoolOperator
from golden_pools.operators.source import ResolveSourceOperator
from golden_pools.operators.switch import SwitchPoolOperator
from golden_pools.retries import DEFAULT_ARGS
from golden_pools.rules.airflow_paths import page_path
from golden_pools.rules.outcome import APPROVE
from golden_pools.rules.plan import REFRESH_DAG_PREFIX, refresh_dag_id
from golden_pools.schedules import refresh_schedule
from golden_pools.spec.loader import load_pools, load_with_followed
from golden_pools.spec.model import PoolSpec


def pool_dag(pool: str, spec: PoolSpec, specs: Mapping[str, PoolSpec] = MappingProxyType({})) -> DAG:
    """Return the DAG of one pool.

    :param specs: of a follower: those of the pools that it follows or waits for, by name; there may be more
    """
    image, batch, others = image_asset(spec, specs), spec.pool, followed_assets(spec, specs)
    page = airflow_link(page_path(pool)) or page_path(pool)
    with DAG(
        dag_id=refresh_dag_id(pool),
        dag_display_name=pool,
        description=f"{source_in_words(spec)} -> image -> Batch pool {batch.account}/{pool}",
        doc_md=DOC.format(pool=pool, source=source_in_words(spec), account=batch.account, page=page),
        schedule=refresh_schedule(spec, others),
        catchup=False,
        max_active_runs=1,
        deadline=deadline_of(pool, spec),
        params=refresh_form(spec),
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
            history_of=pool_asset(pool, spec),
            inlets=[image, pool_asset(pool, spec)],
            doc_md="Reads only. All findings at once; errors stop here. With *plan only* the answer stands in its log.",
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

        before_move: BaseOperator = probe
        if spec.refresh.approve:
            before_move = ApproveMoveOperator(
                task_id=APPROVE,
                publish_task_id=publish.task_id if publish else None,
                probe_task_id=probe.task_id,
                image=image,
                history_of=pool_asset(pool, spec),
                inlets=[image, pool_asset(pool, spec)],
                trigger_rule=TriggerRule.NONE_FAILED,
                doc_md="A person says whether the pool may move; asks nobody where it would not.",
            )
            probe >> before_move

        if publish:  # the regions of other people's versions are theirs to choose
            before_move >> ReplicateVersionOperator(
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
                approve_task_id=APPROVE if spec.refresh.approve else None,
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
        before_move >> refresh

        last = list(dag.leaves)
        alert = AlertRunOperator(
            task_id="alert",
            pool_name=pool,
            channels=spec.alerts,
            nodes_task_id=nodes.task_id,
            memory=pool_asset(pool, spec),
            inlets=[pool_asset(pool, spec)],
            doc_md="Tells the channels of `alerts` how the run ended, once; changes nothing about the run.",
        ).as_teardown(on_failure_fail_dagrun=False)
        last >> alert
    explain(dag, OF_A_POOL)
    return dag


DOC = """\
### Batch pool `{account}/{pool}` on a fresh image of {source}

State, runs and plan: [page *Golden pools*]({page})

| stage | may be retried or cleared |
|---|---|
| plan, source, preflight | any time; they only read |
| image | any time: what this run made is adopted, nothing is made twice; a *new* image needs a new run |
| canary | any time: a new node is tried; a version that was marked bad needs *force* in a run of its own |
| approve (where the spec wants it) | any time: the question is asked anew; clear what follows with it |
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
