"""How a pool follows the image of another pool's spec: the look of its source, and its wait for its turn."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import AzureRefusedError, PreflightError
from golden_pools.operators.base import GRACE, StateStore, now
from golden_pools.operators.looks import Look, existing, pool_region
from golden_pools.operators.marking import REPLICATION_TIME, MarkingStageOperator
from golden_pools.operators.past_runs import latest_events
from golden_pools.rules.build import newest_good
from golden_pools.rules.family import current_pool
from golden_pools.rules.following import History, Milestone, choose, follow_of, where, why_not

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.rules.facts import ImageVersion
    from golden_pools.rules.plan import RunPlan

LOOK_AGAIN = timedelta(minutes=5)
"""Pause between two looks for a region that a version is still to come to while Azure copies nothing."""


def history(context: Context, assets: Mapping[str, Asset]) -> History:
    """Return what the events of assets tell; an event that somebody sent by hand, without a passport, tells nothing."""
    return {
        name: [
            Milestone(image_id=event.extra["image"], at=event.timestamp)
            for event in reversed(latest_events(context, asset))
            if event.extra and isinstance(event.extra.get("image"), str)
        ]
        for name, asset in assets.items()
    }


def look(hook: ComputeHook, plan: RunPlan, known: History) -> Look:
    """Take the newest version that proved good and that all pools in ``after`` are on.

    :raises PreflightError: there is none
    """
    from golden_pools.hooks.batch import BatchHook
    from golden_pools.hooks.inventory import InventoryHook

    spec = plan.spec
    with InventoryHook(spec.connection, spec.subscription, read_only=True) as inventory:
        versions = inventory.versions(plan.definition_id)
    region = pool_region(plan)
    present = None
    if region is not None:
        with BatchHook(spec.connection, spec.subscription, read_only=True) as batch:
            present = current_pool(batch.pools(spec.pool.resource_group, spec.pool.account), plan.pool)
    choice = choose(
        plan, versions, known, region=region, present_image=present.image_id if present else None, now=now()
    )
    if choice is None:
        raise _nothing_to_follow(plan, versions, known, region)
    source = existing(hook, choice.version.id, choice.reason)
    return Look(source=source.model_copy(update={"not_before": choice.not_before}))


def _nothing_to_follow(
    plan: RunPlan, versions: list[ImageVersion], known: History, region: str | None
) -> PreflightError:
    follow = follow_of(plan)
    newest = newest_good(versions, now())
    if newest is None:
        return PreflightError(
            f"No version of {follow.pool}'s image has proved good yet",
            resource=plan.definition_id,
            advice=f"trigger the DAG of {follow.pool}; this one starts by itself when that has succeeded",
        )
    behind = "; ".join(f"{pool} {where(pool, known)}" for pool in follow.after)
    return PreflightError(
        f"No good version of {follow.pool}'s image is for this pool yet: the newest is {newest.name}"
        + (f"; {behind}" if behind else f"; it is in {', '.join(newest.target_regions)}"),
        resource=plan.definition_id,
        advice=f"bring {', '.join(follow.after)} onto it first (trigger their DAGs)"
        if behind
        else f"add {region or 'the region of the Batch account'} to image.target_regions of {follow.pool}.yaml",
    )


class WaveOperator(MarkingStageOperator):
    """Wait until it is the pool's turn, and see then that the version is still to be taken; writes nothing.

    While it waits, other runs of the DAG wait, too. Marked as a success, it lets the pool move at once.

    :param history_of: assets that tell how far the others are, by name of their specs; inlets of this task
    :raises PreflightError: the version has been marked bad, or a pool that goes first is not on it any more
    """

    ui_color = "#eef2f7"

    def __init__(self, *, history_of: Mapping[str, Asset], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.history_of = dict(history_of)

    def execute(self, context: Context) -> None:
        """Look, and wait for what is missing."""
        plan = self.plan_for_writing(context)
        if plan.existing_version_id:
            raise AirflowSkipException("the run was triggered with its version: it waits for nobody")
        with self.compute(plan, read_only=True) as hook:
            version = hook.image_version(plan.version_id)
        reason = why_not(plan, version, history(context, self.history_of), now())
        if version is None or reason:
            raise _stopped(plan, reason)
        assert plan.source is not None
        if (until := plan.source.not_before) is not None and until > now():
            self.log.info(
                "Version %s is taken at %s UTC, when its pause is over; to go at once mark this task as a success, to "
                "stay mark it as failed",
                version.name,
                f"{until:%Y-%m-%d %H:%M}",
            )
            self._wait(until)
        region = plan.pool_region
        if region is not None and not version.ready_in(region):
            self._wait_for_region(context, plan, version, region)
        self.log.info("It is this pool's turn for version %s", version.name)

    def _wait_for_region(self, context: Context, plan: RunPlan, version: ImageVersion, region: str) -> None:
        store = StateStore(context, f"{version.id}/{region}")
        kept = store.read() or store.keep(until=(now() + REPLICATION_TIME).isoformat())
        states = ", ".join(f"{one.region} {one.state}" for one in version.regions) or "none"
        if now() >= datetime.fromisoformat(kept["until"]):
            store.keep(until=(now() + REPLICATION_TIME).isoformat())  # a clear waits anew
            raise AzureRefusedError(
                f"Version {version.name} did not come to {region} within {REPLICATION_TIME.total_seconds() / 3600:.0f} "
                "hours",
                resource=version.id,
                answer=f"replication: {states}",
                advice=f"look at task replicate of the DAG of {follow_of(plan).pool}, then clear this task",
            )
        self.log.info("Version %s is not in %s yet (%s): waiting", version.name, region, states)
        if version.is_busy:
            self.wait_for_replication(plan, None, method_name="execute_again", region=region)
        self._wait(now() + LOOK_AGAIN)

    def _wait(self, until: datetime) -> None:
        from golden_pools.triggers.soak import SoakTrigger

        self.defer(
            trigger=SoakTrigger(until=until.isoformat()),
            method_name="execute_again",
            timeout=until - now() + 2 * GRACE,
        )


def _stopped(plan: RunPlan, reason: str) -> PreflightError:
    return PreflightError(
        f"The pool does not take version {plan.version_id.rpartition('/')[2]}: {reason}",
        resource=plan.version_id,
        advice="nothing for this pool, which stays on the version that it has: it starts by itself when the next "
        "version has proved good; to take this one all the same, trigger the DAG with image_version",
    )
