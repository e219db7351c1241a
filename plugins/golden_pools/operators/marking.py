"""What stages share that mark an image version: Azure may take no mark while it copies the version to a region."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from golden_pools.errors import AzureBusyError, AzureRefusedError
from golden_pools.operators.base import GRACE, StageOperator
from golden_pools.rules.replication import is_of_the_spec

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.hooks.compute import ComputeHook
    from golden_pools.hooks.operations import PendingOperation
    from golden_pools.rules.plan import RunPlan

REPLICATION_TIME = timedelta(hours=12)
"""Longest wait for a version: Microsoft speaks of hours, and waits up to six itself; giving up early wastes a build."""


class MarkingStageOperator(StageOperator):
    """A stage that marks the run's image version. It looks first, so that it may begin anew after a wait."""

    def mark(
        self,
        hook: ComputeHook,
        plan: RunPlan,
        *,
        tags: Mapping[str, str],
        unwritten: str,
        exclude_from_latest: bool | None = None,
    ) -> PendingOperation | None:
        """Mark the version, or defer until Azure is done with it and then execute again.

        That a version of somebody else may not be marked is a warning: the pool runs on it all the same.

        :param unwritten: what cannot be written then, and what follows from it
        :returns: what to wait for; None where there is nothing
        """
        try:
            return hook.mark_version(plan.version_id, tags=tags, exclude_from_latest=exclude_from_latest)
        except AzureBusyError:
            version = hook.image_version(plan.version_id)
            if version is None or not version.is_busy:
                raise
        except AzureRefusedError as error:
            if error.status != 403 or is_of_the_spec(plan.spec, plan.version_id):
                raise
            self.log.warning("%s. It is somebody else's, and Azure refused: %s", unwritten, error)
            return None
        self.log.info("Version %s is being replicated: it is marked when that is over", plan.version_id)
        self.wait_for_replication(plan, None, method_name="execute_again")
        return None  # pragma: no cover

    def wait_for_replication(
        self,
        plan: RunPlan,
        operation: Mapping[str, Any] | None,
        *,
        method_name: str,
        region: str | None = None,
    ) -> None:
        """Defer until Azure is done with the version, or ``region`` can use it."""
        from golden_pools.triggers.replication import ReplicationTrigger

        self.defer(
            trigger=ReplicationTrigger(
                connection=plan.spec.connection,
                subscription=plan.spec.subscription,
                version_id=plan.version_id,
                operation=dict(operation) if operation else None,
                region=region,
            ),
            method_name=method_name,
            timeout=REPLICATION_TIME + GRACE,
        )

    def execute_again(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        """Begin anew, however the replication went: that is for the stage that asked for it."""
        return self.execute(context)
