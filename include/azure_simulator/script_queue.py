"""Scripts that wait for what they are about: the next resizes of a pool, the next copies of an image version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from include.azure_simulator.resources import JsonObject


class Script(Protocol):
    """What can be kept and listed."""

    def to_json(self) -> JsonObject:
        """The script as it was understood."""


ScriptT = TypeVar("ScriptT", bound=Script)


@dataclass(slots=True)
class _Waiting(Generic[ScriptT]):
    script: ScriptT
    left: int | None


class ScriptQueue(Generic[ScriptT]):
    """Scripts in the order in which they came.

    Those that get used up are taken first, the oldest before the others; then those without end, the newest before the
    others, so that a script can be put on top of a standing one.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting[ScriptT]] = []

    def add(self, script: ScriptT, times: int | None) -> None:
        """Keep a script for the next ``times`` times (``None``: every time)."""
        self._waiting.append(_Waiting(script, times))

    def take(self, concerns: Callable[[ScriptT], bool]) -> ScriptT | None:
        """The script for something that happens now, if there is one; it is used up a bit."""
        concerned = [waiting for waiting in self._waiting if concerns(waiting.script)]
        for waiting in concerned:
            if waiting.left is None:
                continue
            waiting.left -= 1
            if waiting.left == 0:
                self._waiting.remove(waiting)
            return waiting.script
        return concerned[-1].script if concerned else None

    def clear(self) -> None:
        """Forget all scripts."""
        self._waiting.clear()

    def to_json(self) -> list[JsonObject]:
        """The scripts, each with how many times it is ``left`` for (``None``: without end)."""
        return [{**waiting.script.to_json(), "left": waiting.left} for waiting in self._waiting]
