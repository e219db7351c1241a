"""Wait for jobs that are being disabled: their running tasks have to end, or to go back into the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.errors import AzureBusyError, GoldenPoolsError
from golden_pools.rules.facts import JobState
from golden_pools.triggers import first_look
from golden_pools.triggers.pool import DEFAULT_INTERVAL_SECONDS, LONGEST_BACK_OFF_SECONDS, REFUSALS
from golden_pools.words import counted

if TYPE_CHECKING:
    from golden_pools.hooks.batch_work import AsyncBatchWorkHook

ON_THEIR_WAY = (JobState.DISABLING, JobState.ENABLING)


class JobsTrigger(BaseTrigger):
    """Wait until one of some jobs may go on: it is disabled, enabled, or over.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :param pool: pool that the jobs leave, for the log
    :param jobs: ids of the jobs, at least one
    :param deadline: end of the wait, ISO 8601, UTC; it ends well then too, and the task decides
    """

    def __init__(
        self,
        *,
        connection: str,
        subscription: str,
        resource_group: str,
        account: str,
        pool: str,
        jobs: Sequence[str],
        deadline: str,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.resource_group = resource_group
        self.account = account
        self.pool = pool
        self.jobs = list(jobs)
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "connection": self.connection,
                "subscription": self.subscription,
                "resource_group": self.resource_group,
                "account": self.account,
                "pool": self.pool,
                "jobs": self.jobs,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event; throttling and outages lengthen the interval and do not end the wait."""
        from golden_pools.hooks.batch_work import AsyncBatchWorkHook

        await asyncio.sleep(first_look.SECONDS)
        deadline = datetime.fromisoformat(self.deadline)
        until = f"{deadline:%Y-%m-%d %H:%M} UTC"
        self.log.info("%s: disabling %s; the wait ends at %s", self.pool, counted(len(self.jobs), "job"), until)
        async with AsyncBatchWorkHook(self.connection, self.subscription) as hook:
            interval, failures, refused = DEFAULT_INTERVAL_SECONDS, 0, 0
            while True:
                try:
                    interval = (await hook.connection()).poll_seconds
                    ready = len(self.jobs) - await self._on_their_way(hook)
                except GoldenPoolsError as failure:
                    failures += 1
                    refused += not isinstance(failure, AzureBusyError)
                    self.log.warning("The jobs of pool %s could not be read: %s", self.pool, failure)
                    if refused >= REFUSALS:
                        yield TriggerEvent({"failure": failure.to_dict()})
                        return
                    wait = min(LONGEST_BACK_OFF_SECONDS, interval * 2.0 ** min(failures, 10))
                else:
                    failures, refused, wait = 0, 0, interval
                    if ready:
                        yield TriggerEvent({"ready": ready})
                        return
                if datetime.now(tz=UTC) >= deadline:
                    yield TriggerEvent({"ready": 0})
                    return
                await asyncio.sleep(wait)

    async def _on_their_way(self, hook: AsyncBatchWorkHook) -> int:
        """Return how many of the jobs still have to be waited for."""
        found = await hook.jobs(self.resource_group, self.account)
        return sum(job.lower() in found and found[job.lower()].state in ON_THEIR_WAY for job in self.jobs)
