"""Wait for a moment, without asking anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.triggers.operation import FIRST_LOOK_SECONDS

LONGEST_SLEEP_SECONDS = 60.0
"""A clock that is set right meanwhile is noticed after this."""


class SoakTrigger(BaseTrigger):
    """Wait until the soak of former pools is over.

    :param until: ISO 8601, UTC
    """

    def __init__(self, *, until: str) -> None:
        super().__init__()
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when it is time."""
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        until = datetime.fromisoformat(self.until)
        while (left := (until - datetime.now(tz=UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
        yield TriggerEvent({"soaked": self.until})
