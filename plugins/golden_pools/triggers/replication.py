"""Wait for an image version to be built and replicated, and say how far each region is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.errors import AzureRefusedError, GoldenPoolsError
from golden_pools.triggers import first_look

if TYPE_CHECKING:
    from golden_pools.hooks.compute import AsyncComputeHook
    from golden_pools.rules.facts import ImageVersion


class ReplicationTrigger(BaseTrigger):
    """Wait until an image version is ``Succeeded`` and replicated in all its regions, or in the one that matters.

    The version itself is polled, not its operation: it alone tells the progress per region.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the version
    :param version_id: full ARM id of the version
    :param operation: the PUT as :class:`~golden_pools.hooks.operations.PendingOperation` JSON, asked for the reason
        when the version fails; ``None`` where it is not known any more
    :param region: normalised; the wait ends as soon as nodes there can be made from the version
    """

    def __init__(
        self,
        *,
        connection: str,
        subscription: str,
        version_id: str,
        operation: dict[str, Any] | None = None,
        region: str | None = None,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.version_id = version_id
        self.operation = operation
        self.region = region

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "connection": self.connection,
                "subscription": self.subscription,
                "version_id": self.version_id,
                "operation": self.operation,
                "region": self.region,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``{"done": version id}`` or ``{"failure": error}``."""
        from golden_pools.hooks.compute import AsyncComputeHook

        await asyncio.sleep(first_look.SECONDS)
        try:
            async with AsyncComputeHook(self.connection, self.subscription) as hook:
                await self._until_replicated(hook)
        except GoldenPoolsError as error:
            yield TriggerEvent({"failure": error.to_dict()})
            return
        yield TriggerEvent({"done": self.version_id})

    async def _until_replicated(self, hook: AsyncComputeHook) -> None:
        said = ""
        interval = (await hook.connection()).poll_seconds
        while True:
            version = await hook.image_version(self.version_id)
            if version is None:
                raise AzureRefusedError(
                    "The image version disappeared while it was being replicated",
                    resource=self.version_id,
                    advice="find out who deleted it (activity log of the gallery), then clear the publish task",
                )
            if (line := progress(version, steps_of=10)) != said:
                self.log.info("%s", progress(version))
                said = line
            if await self._ended(hook, version):
                return
            await asyncio.sleep(interval)

    async def _ended(self, hook: AsyncComputeHook, version: ImageVersion) -> bool:
        if self.region is not None and version.ready_in(self.region):
            return True
        if version.is_busy:  # a region has failed perhaps, but Azure takes no change before the others are through
            return False
        if version.provisioning_state == "Failed" or version.aggregated_state == "Failed":
            if self.operation is not None:
                from golden_pools.hooks.operations import PendingOperation

                await hook.finish(PendingOperation.from_dict(self.operation))  # raises with Azure's reason
            raise AzureRefusedError(
                "The image version could not be built or replicated",
                resource=self.version_id,
                answer=f"provisioning {version.provisioning_state}, replication {version.aggregated_state} "
                f"({states(version)})",
                advice="clear the task: it asks Azure again for the same version; "
                "if it fails again, look at the regions' details",
            )
        return version.provisioning_state == "Succeeded" and version.aggregated_state == "Completed"


def states(version: ImageVersion) -> str:
    """Return every region with its state, and why it failed."""
    return "; ".join(f"{one.region} {one.state} {one.details}".strip() for one in version.regions)


def progress(version: ImageVersion, *, steps_of: int = 1) -> str:
    """Return one log line: provisioning state and progress per region.

    :param steps_of: percent that make a difference
    """
    regions = ", ".join(f"{one.region} {one.progress_percent // steps_of * steps_of} %" for one in version.regions)
    return f"version {version.name}: {version.provisioning_state}" + (f"; replicated: {regions}" if regions else "")
