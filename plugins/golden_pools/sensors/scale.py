"""Stage ``nodes`` of the runs that a scale time starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.operators.base import PLAN_TASK_ID, pulled
from golden_pools.operators.scale import is_being_refreshed
from golden_pools.sensors.pools import PoolNodesSensor

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScaledNodesSensor(PoolNodesSensor):
    """Wait for the nodes of a scale time, giving way to a run that refreshes the pool.

    :raises ResizeGaveUpError: nodes failed, or too few were ready in time
    """

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Raise what the trigger found, unless a refresh took the nodes away."""
        if is_being_refreshed(context, pulled(context, PLAN_TASK_ID)["pool"]):
            raise AirflowSkipException("a run refreshes the pool, and waits for its nodes itself")
        super().resume(context, event)
