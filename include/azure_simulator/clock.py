"""Simulated time: real time, many times faster, or moved by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Simulated time, aware UTC, that runs at ``speed`` times real time.

    :param speed: simulated seconds per real second; 0 is a frozen clock that only :meth:`advance` moves.
    :param start: simulated time at the beginning; ``None`` is the real time of now.
    :param monotonic: source of real seconds; tests replace it.
    :raises ValueError: for a negative speed or a naive start.
    """

    def __init__(
        self, speed: float = 60.0, start: datetime | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if start is not None and start.tzinfo is None:
            raise ValueError("the start of a clock must be an aware datetime")
        self._monotonic = monotonic
        self._speed = _checked_speed(speed)
        self._anchor = (start or datetime.now(UTC)).astimezone(UTC)
        self._anchor_real = monotonic()

    @property
    def speed(self) -> float:
        """Simulated seconds per real second."""
        return self._speed

    def now(self) -> datetime:
        """Simulated now."""
        return self._anchor + timedelta(seconds=(self._monotonic() - self._anchor_real) * self._speed)

    def advance(self, delta: timedelta) -> None:
        """Move simulated time forward by ``delta``.

        :raises ValueError: when ``delta`` is negative: time never runs backwards.
        """
        if delta < timedelta(0):
            raise ValueError("a clock cannot be moved backwards")
        self._anchor += delta

    def set_speed(self, speed: float) -> None:
        """Change the speed; simulated time stays continuous.

        :raises ValueError: for a negative speed.
        """
        checked = _checked_speed(speed)
        self._anchor, self._anchor_real = self.now(), self._monotonic()
        self._speed = checked

    def real_seconds(self, simulated: timedelta) -> float:
        """How many real seconds a client waits for ``simulated``; on a frozen clock the plain seconds."""
        return simulated.total_seconds() / (self._speed or 1.0)

    def retry_after(self, simulated: timedelta) -> int:
        """A ``Retry-After`` value: whole real seconds, at least 1 (azure-core takes 0 for "my default of 30 s")."""
        return max(1, math.ceil(self.real_seconds(simulated)))


def _checked_speed(speed: float) -> float:
    if not math.isfinite(speed) or speed < 0:
        raise ValueError("the speed of a clock must be a finite number, 0 or more")
    return speed
