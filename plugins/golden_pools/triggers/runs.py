"""Wait for the runs of another DAG."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

LOOK_SECONDS = 30.0
"""Between two looks: each is one request to Airflow's own API server."""

RUNNING = ["running"]
"""States of a run that is going on. One in the queue is not: its DAG may be switched off, and then it never begins."""


class RunsEndTrigger(BaseTrigger):
    """Wait until no run of a DAG is going on.

    The event holds ``ended``: whether that was so before the deadline.

    :param dag_id: the DAG
    :param deadline: absolute end of the wait, ISO 8601, UTC: survives a restart of the triggerer
    """

    def __init__(self, *, dag_id: str, deadline: str) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"dag_id": self.dag_id, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from asgiref.sync import sync_to_async

        count = sync_to_async(RuntimeTaskInstance.get_dr_count)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            ended = await count(dag_id=self.dag_id, states=RUNNING) == 0
            if ended or datetime.now(tz=UTC) >= datetime.fromisoformat(self.deadline):
                yield TriggerEvent({"ended": ended})
                return
