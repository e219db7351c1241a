"""Airflow's deadline of a pool: the moment by which its run has to have ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from golden_pools.notifications import PoolAlertNotifier
from golden_pools.spec.times import Deadline

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from golden_pools.spec.model import PoolSpec


@dataclass
class WallClockDeadline(BaseDeadlineReference):  # type: ignore[misc] # Airflow does not type its base
    """The first time of a wall clock after a run was due.

    Airflow's own references count from when the run was queued, or from its logical date: an hour late after a change
    of clocks, and never right for a run that an image starts. The plugin tells Airflow of this one.

    :param time: HH:MM
    :param timezone: IANA zone
    """

    time: str = "00:00"
    timezone: str = "UTC"

    required_kwargs = {"dag_id", "run_id"}
    """What Airflow hands over with the session."""

    def serialize_reference(self) -> dict[str, Any]:
        """Return the reference as Airflow stores it with the DAG."""
        return {**super().serialize_reference(), "time": self.time, "timezone": self.timezone}

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> Self:
        """Return the reference that was stored."""
        return cls(time=reference_data["time"], timezone=reference_data["timezone"])

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Return the moment, or None for a run that only plans; Airflow asks when it makes the run."""
        from airflow.models import DagRun
        from sqlalchemy import select

        found = session.execute(
            select(DagRun.run_after, DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        ).one()
        if (found.conf or {}).get("plan_only"):
            return None
        return Deadline(time=self.time, timezone=self.timezone).after(found.run_after)


def deadline_of(pool: str, spec: PoolSpec) -> DeadlineAlert | None:
    """Return what Airflow does when a run of the pool's DAG has not ended in time; None: the spec names no time."""
    if spec.deadline is None:
        return None
    channels = [channel.model_dump(mode="json") for channel in spec.alerts]
    return DeadlineAlert(
        reference=WallClockDeadline(spec.deadline.time, spec.deadline.timezone),
        interval=timedelta(0),
        callback=AsyncCallback(PoolAlertNotifier, kwargs={"pool": pool, "channels": channels}),
        name=f"on its new image by {spec.deadline.time} {spec.deadline.timezone}",
    )
