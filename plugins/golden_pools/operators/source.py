"""Stage ``source``: look at what the image is made from, and say whether this run makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golden_pools.operators.base import StageOperator
from golden_pools.operators.looks import LOOKS, existing_version

if TYPE_CHECKING:
    from airflow.sdk import Context


class ResolveSourceOperator(StageOperator):
    """Look at the source of the image; reads only.

    What is not there is left to preflight, which reports it with everything else.

    :raises AzureRefusedError: Azure does not let the run look
    """

    ui_color = "#fff3d6"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the :class:`~golden_pools.rules.source.ImageSource` as JSON."""
        plan = self.plan(context)
        look = existing_version if plan.existing_version_id else LOOKS[plan.spec.image.source.kind]
        with self.compute(plan, read_only=True) as hook:
            source = look(hook, plan)
        self.log.info("%s: %s", "A new image" if source.builds else f"Version {source.version_id}", source.reason)
        return source.model_dump(mode="json")
