"""Stage ``source``: look at what the image is made from, and say whether this run makes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from golden_pools.errors import PreflightError
from golden_pools.operators import follow
from golden_pools.operators.base import StageOperator, now
from golden_pools.operators.looks import LOOKS, Look, given_version, pool_region
from golden_pools.rules.build import Decision, decide, failures_in_a_row
from golden_pools.rules.plan import RunPlan
from golden_pools.rules.source import ImageSource
from golden_pools.spec.image import Publish
from golden_pools.spec.source import SourceKind

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from golden_pools.hooks.compute import ComputeHook

BEGUN_KEY = "builds_begun"
"""Key in the image's asset state store: names of versions whose making was begun, since the last that came to be."""

MOST_BEGUN = 100
"""So many failures in a row can a spec ask for."""


class ResolveSourceOperator(StageOperator):
    """Look at the source of the image and decide whether this run makes one; reads only.

    What is not there is left to preflight, which reports it with everything else. A pool that takes the managed image
    itself gets a new one in every run: such an image carries no verdict.

    :param image: the image's asset, an inlet of this task: its state store knows the builds that were begun
    :param history_of: of a follower: assets that tell how far the others are, by name of their specs; inlets, too
    :raises AzureRefusedError: Azure does not let the run look
    :raises PreflightError: there is no version that the run could use
    """

    ui_color = "#fff3d6"

    def __init__(
        self, *, image: Asset | None = None, history_of: Mapping[str, Asset] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.history_of = dict(history_of or {})

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the :class:`~golden_pools.rules.source.ImageSource` as JSON."""
        plan = self.plan(context)
        with self.compute(plan, read_only=True) as hook:
            source = self._decided(context, plan, self._look(context, hook, plan))
        self.log.info("%s: %s", "A new image" if source.builds else f"Version {source.version_id}", source.reason)
        if source.warning:
            self.log.error("%s", source.warning)
        return source.model_dump(mode="json")

    def _look(self, context: Context, hook: ComputeHook, plan: RunPlan) -> Look:
        kind = plan.spec.image.source.kind
        if plan.existing_version_id:
            return given_version(hook, plan)
        if kind is SourceKind.FOLLOW:
            return follow.look(hook, plan, follow.history(context, self.history_of))
        return LOOKS[kind](hook, plan)

    def _decided(self, context: Context, plan: RunPlan, look: Look) -> ImageSource:
        """Return what was found, with the decision whether to build."""
        if look.differs is None or plan.spec.image.publish is Publish.MANAGED_IMAGE:
            return look.source
        from golden_pools.hooks.inventory import InventoryHook

        with InventoryHook(plan.spec.connection, plan.spec.subscription, read_only=True) as inventory:
            versions = inventory.versions(plan.definition_id)
        begun = [name for name in builds_begun(context, self.image) if name != plan.version_name]
        decision = decide(
            plan,
            versions,
            look.differs,
            failures=failures_in_a_row(begun, versions),
            now=now(),
            region=pool_region(plan),
        )
        if decision.builds:
            return look.source.model_copy(update={"reason": f"{look.source.reason}: {decision.reason}"})
        if decision.version is None:
            raise _nothing_to_run_on(plan, decision)
        return look.source.model_copy(
            update={
                "builds": False,
                "reason": decision.reason,
                "version_id": decision.version.id,
                "warning": decision.reason if decision.stopped else "",
            }
        )


def _nothing_to_run_on(plan: RunPlan, decision: Decision) -> PreflightError:
    return PreflightError(
        "There is no version that proved good, and no new one is built",
        resource=plan.definition_id,
        answer=decision.reason,
        advice="read why the builds failed in the runs before, mend it, and trigger the DAG by hand",
    )


def builds_begun(context: Context, image: Asset | None) -> list[str]:
    """Return the names of versions whose making was begun, the latest last."""
    if image is None:
        return []
    kept = context["asset_state_store"][image].get(BEGUN_KEY)
    return [str(name) for name in kept] if isinstance(kept, list) else []


def note_begun(context: Context, image: Asset | None, plan: RunPlan) -> None:
    """Note that the run begins to make its version; safe to do twice."""
    if image is None or not plan.builds_image or plan.plan_only:
        return
    before = [name for name in builds_begun(context, image) if name != plan.version_name]
    context["asset_state_store"][image].set(BEGUN_KEY, [*before, plan.version_name][-MOST_BEGUN:])
