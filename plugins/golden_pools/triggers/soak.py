"""Wait for a moment, without asking anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from golden_pools.triggers import first_look


class SoakTrigger(BaseTrigger):
    """Wait until the soak of former pools is over, or whatever else takes until a moment that is known.

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
        left = (datetime.fromisoformat(self.until) - datetime.now(tz=UTC)).total_seconds()
        await asyncio.sleep(max(left, first_look.SECONDS))
        yield TriggerEvent({"soaked": self.until})
