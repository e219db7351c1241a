"""Wait for long-running operations of Azure Resource Manager."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from golden_pools.errors import GoldenPoolsError
from golden_pools.triggers import first_look

if TYPE_CHECKING:
    from golden_pools.hooks.operations import AsyncOperations, PendingOperation


class OperationsTrigger(BaseTrigger):
    """Wait until every operation has ended, well or badly.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the operations
    :param operations: :class:`~golden_pools.hooks.operations.PendingOperation` as JSON, at least one
    :param ends_task: end the task here when all went well; else resume it on a worker
    :param result: XCom of a task that ends here
    """

    def __init__(
        self,
        *,
        connection: str,
        subscription: str,
        operations: Sequence[dict[str, Any]],
        ends_task: bool,
        result: Any = None,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.subscription = subscription
        self.operations = list(operations)
        self.ends_task = ends_task
        self.result = result

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "connection": self.connection,
                "subscription": self.subscription,
                "operations": self.operations,
                "ends_task": self.ends_task,
                "result": self.result,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: success, or what failed: the first failure, and all of them."""
        from golden_pools.hooks.operations import AsyncOperations, PendingOperation

        await asyncio.sleep(first_look.SECONDS)
        operations = [PendingOperation.from_dict(operation) for operation in self.operations]
        async with AsyncOperations(self.connection, self.subscription) as hook:
            failures = await asyncio.gather(*(self._finish(hook, operation) for operation in operations))
        failed = [failure for failure in failures if failure is not None]
        if failed:
            yield TriggerEvent({"failure": failed[0].to_dict(), "failures": [failure.to_dict() for failure in failed]})
        elif self.ends_task:
            yield TaskSuccessEvent(xcoms={"return_value": self.result})
        else:
            yield TriggerEvent({"done": len(operations)})

    async def _finish(self, hook: AsyncOperations, operation: PendingOperation) -> GoldenPoolsError | None:
        started = asyncio.get_running_loop().time()
        try:
            await (hook.finish_removal(operation) if operation.removes else hook.finish(operation))
        except GoldenPoolsError as error:
            self.log.error("%s", error)
            return error
        self.log.info("Done after %.0f s: %s", asyncio.get_running_loop().time() - started, operation.what)
        return None
