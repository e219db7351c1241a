"""What a command line says about itself: the simulator runs nothing, it reads ``sleep N`` and ``exit N``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

_SLEEP = re.compile(r"\b(?:sleep|timeout(?:\s+/t)?)\s+(\d+(?:\.\d+)?)", re.IGNORECASE)
_EXIT = re.compile(r"\bexit(?:\s+/b)?\s+(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The outcome of a command line: all its attempts together take ``duration``."""

    duration: timedelta
    exit_code: int
    retries: int


def run_command(command_line: str, *, default: timedelta, max_retries: int) -> CommandRun:
    """How long a command line runs and how it ends.

    :param default: how long it runs without ``sleep N``.
    :param max_retries: retries after a failure; every attempt ends the same way. -1 (without end) counts as none.
    """
    sleep = _SLEEP.search(command_line)
    exit_code = _EXIT.search(command_line)
    code = int(exit_code[1]) if exit_code else 0
    retries = max(0, max_retries) if code else 0
    once = timedelta(seconds=float(sleep[1])) if sleep else default
    return CommandRun(once * (retries + 1), code, retries)
