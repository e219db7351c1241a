"""Stage ``replicate``: the version gets to every region of the spec while the pool moves already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import AzureRefusedError
from golden_pools.links.portal import ImageLink
from golden_pools.operators.base import GRACE, StateStore, now
from golden_pools.operators.marking import MarkingStageOperator
from golden_pools.rules.replication import PAUSES, Step, next_step, wanted_replicas

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.rules.facts import ImageVersion
    from golden_pools.rules.plan import RunPlan


class RegionsStageOperator(MarkingStageOperator):
    """A stage that brings the run's image version into regions."""

    def bring_to(
        self,
        context: Context,
        plan: RunPlan,
        wants: Callable[[ImageVersion], Mapping[str, int]],
        event: Mapping[str, Any] | None,
        *,
        until: str | None = None,
    ) -> ImageVersion:
        """Take the next step, and defer until it is done; returns the version when it is where it is wanted.

        :param wants: replicas by normalised region; without any the stage is skipped
        :param event: what the last wait came to
        :param until: the one region that the stage waits for; all if absent
        :raises AzureRefusedError: a region failed as often as it was asked for
        """
        store = self.regions_store(context, plan)
        with self.compute(plan) as hook:
            version = hook.image_version(plan.version_id)
            if version is None:
                raise AzureRefusedError(
                    "The image version is not there any more",
                    resource=plan.version_id,
                    advice="find out who deleted it (activity log of the gallery), then clear the publish task",
                )
            if until is not None and version.ready_in(until):
                return version
            if not (wanted := wants(version)):
                raise AirflowSkipException(f"{version.id} is not this spec's: its regions are its maker's to choose")
            kept = store.keep(**({"before": dict(version.target_regions), "asked": 0} | store.read()))
            if event and "paused" in event:
                kept = store.keep(paused=kept["asked"])
            if reasons := _reasons(version, wanted, event):
                kept = store.keep(reasons=kept.get("reasons", {}) | reasons)
            asked = int(kept["asked"])
            step = next_step(version, wanted, before=kept["before"], asked=asked, paused=kept.get("paused", 0))
            if step.step in (Step.ASK, Step.PUT_BACK):
                asking = step.step is Step.ASK
                said = "asking for replicas" if asking else "a region failed, back to replicas"
                self.log.info("Version %s: %s: %s", version.name, said, _counts(step.regions))
                operation = hook.begin_regions(plan.version_id, step.regions)
                kept = store.keep(operation=operation.to_dict(), asked=asked + asking)
        if step.step is Step.DONE:
            store.keep(asked=0, paused=0)
            return version
        if step.step is Step.GIVE_UP:
            store.keep(asked=0, paused=0)  # a clear asks anew
            raise _given_up(plan, version, step.regions, kept.get("reasons", {}))
        if step.step is Step.PAUSE:
            self._pause(version, step.regions, PAUSES[asked - 1])
        self.wait_for_replication(plan, kept.get("operation"), method_name="go_on", region=until)
        raise AssertionError("the wait defers")  # pragma: no cover

    def regions_store(self, context: Context, plan: RunPlan) -> StateStore:
        """Return what the stage remembers: replicas before it asked, asks, pauses, reasons of failures."""
        return StateStore(context, f"{plan.version_id}/regions")

    def _pause(self, version: ImageVersion, lacks: Mapping[str, int], pause: timedelta) -> None:
        from golden_pools.triggers.soak import SoakTrigger

        minutes = pause.total_seconds() / 60
        self.log.warning(
            "Version %s: asking again in %d minutes for replicas: %s", version.name, minutes, _counts(lacks)
        )
        self.defer(
            trigger=SoakTrigger(until=(now() + pause).isoformat()), method_name="paused", timeout=pause + 2 * GRACE
        )

    def paused(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Ask again."""
        return self.go_on(context, {"paused": True})

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Look at what the wait came to, and take the next step."""
        raise NotImplementedError


class ReplicateVersionOperator(RegionsStageOperator):
    """Bring the version to all regions of the spec, with the replicas that the pools there need.

    The pool needs its own region only, and goes its way meanwhile; a region that fails for good fails this task and the
    run, and nothing is rolled back.

    :raises AzureRefusedError: naming the regions that failed, and why
    """

    ui_color = "#dfeaf5"
    operator_extra_links = (ImageLink(),)

    def execute(self, context: Context) -> Any:
        """Ask for what is missing and wait; returns the replicas by region."""
        return self.go_on(context)

    def go_on(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Take the next step."""
        plan = self.plan_for_writing(context)
        if not plan.is_versioned:
            raise AirflowSkipException("the pool takes the managed image itself: there is nothing to replicate")
        version = self.bring_to(context, plan, partial(wanted_replicas, plan), event)
        self.log.info("Version %s is in every region: %s", version.name, _counts(version.target_regions))
        return dict(version.target_regions)


def _counts(regions: Mapping[str, int]) -> str:
    return ", ".join(f"{region} {count}" for region, count in regions.items())


def _reasons(version: ImageVersion, wanted: Mapping[str, int], event: Mapping[str, Any] | None) -> dict[str, str]:
    """Return why regions have failed, by region."""
    answer = event["failure"]["answer"] if event and "failure" in event else ""
    return {
        one.region: f"{one.state}: {one.details or answer or 'Azure does not say why'}"
        for one in version.regions
        if one.state == "Failed" and one.region in wanted
    }


def _given_up(
    plan: RunPlan, version: ImageVersion, lacks: Mapping[str, int], reasons: Mapping[str, str]
) -> AzureRefusedError:
    regions = lacks or dict.fromkeys(reasons)
    there = ", ".join(one.region for one in version.regions if one.state == "Completed") or "no region"
    return AzureRefusedError(
        f"The image version could not be replicated to {', '.join(regions) or 'its regions'}",
        resource=plan.version_id,
        answer="; ".join(f"{region} {reasons.get(region, 'is missing')}" for region in regions)
        or f"provisioning state {version.provisioning_state}",
        advice=f"it was asked for {1 + len(PAUSES)} times; the version stays in use in {there}. Clear this task to ask "
        "again for the same version, or take the region out of image.target_regions",
    )
