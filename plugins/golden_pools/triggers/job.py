"""Wait for the tasks of a Batch job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.errors import AzureBusyError, GoldenPoolsError
from golden_pools.triggers import first_look
from golden_pools.triggers.pool import DEFAULT_INTERVAL_SECONDS, LONGEST_BACK_OFF_SECONDS, REFUSALS

if TYPE_CHECKING:
    from golden_pools.hooks.batch_work import AsyncBatchWorkHook


class JobTasksTrigger(BaseTrigger):
    """Wait until all tasks of a job have ended, or the time for them is over: the resuming task judges them.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :param job: id of the job
    :param deadline: absolute end of the wait, ISO 8601, UTC: survives a restart of the triggerer
    """

    def __init__(
        self, *, connection: str, subscription: str, resource_group: str, account: str, job: str, deadline: str
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.resource_group = resource_group
        self.account = account
        self.job = job
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        names = ("connection", "subscription", "resource_group", "account", "job", "deadline")
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {name: getattr(self, name) for name in names},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``{"ended": number of tasks, "of": number}`` or ``{"failure": error}``."""
        from golden_pools.hooks.batch_work import AsyncBatchWorkHook

        await asyncio.sleep(first_look.SECONDS)
        async with AsyncBatchWorkHook(self.connection, self.subscription) as hook:
            yield await self._until_ended(hook)

    async def _until_ended(self, hook: AsyncBatchWorkHook) -> TriggerEvent:
        interval, failures, refused, said = DEFAULT_INTERVAL_SECONDS, 0, 0, ""
        while True:
            late = datetime.now(tz=UTC) >= datetime.fromisoformat(self.deadline)
            try:
                interval = (await hook.connection()).poll_seconds
                tasks = await hook.tasks(self.resource_group, self.account, self.job)
            except GoldenPoolsError as failure:
                self.log.warning("The tasks of job %s could not be read: %s", self.job, failure)
                failures += 1
                refused += not isinstance(failure, AzureBusyError)
                if late or refused >= REFUSALS:
                    return TriggerEvent({"failure": failure.to_dict()})
                asked = failure.retry_after_seconds or 0.0 if isinstance(failure, AzureBusyError) else 0.0
                wait = min(LONGEST_BACK_OFF_SECONDS, max(interval * 2.0 ** min(failures, 10), asked))
            else:
                ended = sum(task.is_over for task in tasks)
                if (line := f"{ended}/{len(tasks)} ended") != said:
                    self.log.info("%s: %s", self.job, said := line)
                if late or ended == len(tasks):
                    return TriggerEvent({"ended": ended, "of": len(tasks)})
                failures, refused, wait = 0, 0, interval
            await asyncio.sleep(wait)
