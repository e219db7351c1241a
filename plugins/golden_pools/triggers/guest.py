"""Wait for a script in a VM's guest, and for a guest that shuts itself down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.errors import AzureRefusedError, GoldenPoolsError
from golden_pools.triggers import first_look


class ScriptTrigger(BaseTrigger):
    """Wait until a run command has ended, and, where the script is to shut the guest down, until it has.

    The event is ``{"statuses": what the command answered, "at_rest": whether the VM stands still}``, or
    ``{"failure": error, "at_rest": ...}``: a guest that shuts down may take the command's answer with it.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the VM
    :param operation: :class:`~golden_pools.hooks.operations.PendingOperation` of the run command, as JSON
    :param shuts_down: wait for the VM to stop, too
    :param seconds: longest wait
    """

    def __init__(
        self, *, connection: str, subscription: str, operation: dict[str, Any], shuts_down: bool, seconds: float
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.operation = operation
        self.shuts_down = shuts_down
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "connection": self.connection,
                "subscription": self.subscription,
                "operation": self.operation,
                "shuts_down": self.shuts_down,
                "seconds": self.seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event."""
        from golden_pools.hooks.operations import AsyncOperations, PendingOperation

        await asyncio.sleep(first_look.SECONDS)
        operation = PendingOperation.from_dict(self.operation)
        until = asyncio.get_running_loop().time() + self.seconds
        said: dict[str, Any] = {}
        async with AsyncOperations(self.connection, self.subscription) as hook:
            try:
                async with asyncio.timeout_at(until):
                    answer = await hook.finish(operation) or {}
                output = answer.get("value") or ((answer.get("properties") or {}).get("output") or {}).get("value")
                said = {"statuses": output or []}
            except TimeoutError:
                said = {"failure": _late(operation, self.seconds).to_dict()}
            except GoldenPoolsError as error:
                said = {"failure": error.to_dict()}
            try:
                at_rest = await self._at_rest(hook, operation, until)
            except GoldenPoolsError as error:
                self.log.warning("The VM's power state could not be read: %s", error)
                at_rest = False
        yield TriggerEvent({**said, "at_rest": at_rest})

    async def _at_rest(self, hook: Any, operation: Any, until: float) -> bool:
        from golden_pools.hooks.failures import azure_errors

        interval = (await hook.connection()).poll_seconds
        while True:
            with azure_errors("Could not read the VM", operation.resource_id):
                vm = await hook.read(operation.resource_id, operation.api_version, expand="instanceView")
            view = vm.get("properties", {}).get("instanceView") or {}
            codes = {str(status.get("code") or "").casefold() for status in view.get("statuses") or ()}
            if codes & {"powerstate/stopped", "powerstate/deallocated"}:
                return True
            if not self.shuts_down or asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(interval)


def _late(operation: Any, seconds: float) -> AzureRefusedError:
    return AzureRefusedError(
        "The script that generalizes the clone did not end in time",
        resource=operation.resource_id,
        answer=f"it had {seconds / 60:.0f} minutes",
        advice="try the script on a VM by hand; raise golden_vm.clone.minutes if it only needs longer",
        code="ScriptTimeout",
    )
