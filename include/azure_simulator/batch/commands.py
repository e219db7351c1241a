"""Commands: nothing is run. A script says what a command comes to, or its line does: ``sleep N``, ``exit N``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta

from include.azure_simulator.batch.scripts import CommandScript
from include.azure_simulator.script_queue import ScriptQueue

_SLEEP = re.compile(r"\b(?:sleep|timeout(?:\s+/t)?)\s+(\d+(?:\.\d+)?)", re.IGNORECASE)
_EXIT = re.compile(r"\bexit(?:\s+/b)?\s+(\d+)", re.IGNORECASE)
_MOST_RETRIES = 100


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a node of ``pool`` is about to run.

    :param task: id of the task, ``None`` for a start task.
    :param max_retries: retries after a failure; -1 (without end) counts as none, more than 100 as 100.
    """

    pool: str
    line: str
    task: str | None = None
    max_retries: int = 0


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The outcome of a command: all its attempts together take ``duration``; the rest is that of the last one.

    ``stdout`` and ``stderr`` are ``None`` where no script says what they hold.
    """

    duration: timedelta
    exit_code: int
    retries: int
    stdout: str | None = None
    stderr: str | None = None


class Commands:
    """What the commands of an account come to."""

    def __init__(self) -> None:
        self.scripts = ScriptQueue[CommandScript]()

    def run(self, command: Command, *, default: timedelta) -> CommandRun:
        """How long a command runs and how it ends, when it starts now.

        :param default: how long it runs when neither a script nor the command line says so.
        """
        run = self._attempt(command, default)
        while run.exit_code and run.retries < min(command.max_retries, _MOST_RETRIES):
            again = self._attempt(command, default)
            run = replace(again, duration=run.duration + again.duration, retries=run.retries + 1)
        return run

    def _attempt(self, command: Command, default: timedelta) -> CommandRun:
        script = self.scripts.take(lambda script: script.fits(command.pool, command.line, command.task))
        return _outcome(command.line, script, default)


def _outcome(line: str, script: CommandScript | None, default: timedelta) -> CommandRun:
    sleep, exit_code = _SLEEP.search(line), _EXIT.search(line)
    plain = CommandRun(
        timedelta(seconds=float(sleep[1])) if sleep else default, int(exit_code[1]) if exit_code else 0, 0
    )
    if script is None:
        return plain
    return CommandRun(
        duration=plain.duration if script.duration is None else script.duration,
        exit_code=plain.exit_code if script.exit_code is None else script.exit_code,
        retries=0,
        stdout=script.stdout,
        stderr=script.stderr,
    )
