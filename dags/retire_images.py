"""Retention: once a day, what of the images that runs have made is needed by nobody any more is reported, and goes."""

from __future__ import annotations

from airflow.sdk import DAG, Param, TriggerRule, chain
from golden_pools.assets import retention_asset
from golden_pools.clearing import OF_RETENTION, explain
from golden_pools.operators.alert import AlertRunOfAllOperator
from golden_pools.operators.retire_images import CarryOutOperator, FailAfterAllOperator, ReportRetentionOperator
from golden_pools.retries import DEFAULT_ARGS
from golden_pools.rules.retention import Action, Kind

SCHEDULE = "37 5 * * *"
"""After the nights of most pools, so that what they switched away from counts; not at a full hour, as others are."""

DOC = """\
### What of the images is still needed

*report* says what may go, why, how large it is and what it costs; docs/retention.md has the rules. The others act only
for specs with `retention.delete: true`, look at everything anew before they do, and do nothing at all where a look-up
fails. Versions are marked first and deleted days later; then their managed images, then their snapshots.

Every task may be retried or cleared at any time.
"""

with DAG(
    dag_id="retire_images",
    dag_display_name="retire images",
    description="Report, and where it is switched on delete, what no pool needs any more",
    doc_md=DOC,
    schedule=SCHEDULE,
    catchup=False,
    max_active_runs=1,
    params={
        "dry_run": Param(
            default=False, type="boolean", title="Only report", description="Whatever the specs say, change nothing."
        ),
        "pool": Param(
            default=None,
            type=["null", "string"],
            title="Pool",
            description="Only what the runs of this spec have made; everything if left open.",
        ),
    },
    default_args={**DEFAULT_ARGS, "owner": "golden-pools"},
    tags=["golden-pools"],
) as dag:
    report = ReportRetentionOperator(
        task_id="report",
        asset=retention_asset(),
        outlets=[retention_asset()],
        doc_md="What may go, why, and what it costs; reads only.",
    )
    canaries = CarryOutOperator(
        task_id="canaries", kinds=[Kind.CANARY], actions=[Action.DELETE], doc_md="Canary pools that broken runs left."
    )
    mark = CarryOutOperator(
        task_id="mark",
        kinds=[Kind.VERSION],
        actions=[Action.RETIRE, Action.RESTORE],
        doc_md="End of life and excluded from latest; marks are taken back of versions that are needed again.",
    )
    versions = CarryOutOperator(
        task_id="versions",
        kinds=[Kind.VERSION],
        actions=[Action.DELETE],
        doc_md="Versions whose grace is over; waits until they are really gone.",
    )
    images = CarryOutOperator(
        task_id="images",
        kinds=[Kind.IMAGE],
        actions=[Action.DELETE],
        doc_md="Managed images that no version or pool stands on.",
    )
    snapshots = CarryOutOperator(
        task_id="snapshots",
        kinds=[Kind.SNAPSHOT],
        actions=[Action.DELETE],
        doc_md="Snapshot sets that no image or version stands on.",
    )
    throwaways = CarryOutOperator(
        task_id="throwaways",
        kinds=[Kind.VM, Kind.CARD, Kind.DISK, Kind.RESTORE_POINT],
        actions=[Action.DELETE],
        doc_md="Throwaway VMs, network cards, disks and restore points that broken runs left.",
    )
    acting = [canaries, mark, versions, images, snapshots, throwaways]
    for task in acting:
        task.trigger_rule = TriggerRule.ALL_DONE  # each decides by itself what is due; a failure shows at its own task
    failed = FailAfterAllOperator(
        task_id="failed",
        trigger_rule=TriggerRule.ONE_FAILED,
        doc_md="Fails on purpose where one of the others did, since none of them stops the next; skipped otherwise.",
    )
    alert = AlertRunOfAllOperator(
        task_id="alert",
        pool_name="retire images",
        memory=retention_asset(),
        inlets=[retention_asset()],
        doc_md="Tells the channels of all specs of a failure, and when it is over; changes nothing about the run.",
    ).as_teardown(on_failure_fail_dagrun=False)
    chain(report, *acting)
    acting >> failed >> alert
    explain(dag, OF_RETENTION)
