"""Looks at Azure for everybody who looks at the page: who makes the next one, when, and what the last one saw.

Results and leases are values in Airflow's own database, so that any number of people, tabs, workers of the API server
and hosts share them: whoever swaps the lease makes the look, in the background, and everybody else goes on with what
is there. Nobody looks where nobody asks.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import uuid4

from golden_pools.errors import AzureBusyError, GoldenPoolsError
from golden_pools.rules.board.facts import Look, RunSeen
from golden_pools.rules.board.looks import moment
from golden_pools.rules.facts import folded
from golden_pools.ui import shelf
from golden_pools.ui.shelf import Shared
from golden_pools.words import shortened

if TYPE_CHECKING:
    from golden_pools.ui.glances import Glance, Glances

log = logging.getLogger(__name__)

PREFIX = "page"
"""Beginning of the keys under which looks are kept."""

LEASE = timedelta(minutes=2)
"""How long a look may take before somebody else may begin another; a process that dies holds up the page so long."""

MOST_THREADS = 4
"""Logins through which one process looks at a time."""

LONGEST_PAUSE = timedelta(minutes=5)
"""After looks that failed in a row."""

DEFAULT_SECONDS = 15.0
"""Between two looks where the connection could not be read, which would say."""

LONGEST_ERROR = 400
"""Characters of an error that the page shows."""


class Kind(StrEnum):
    """What a look is about, and how many of its connection's intervals lie between two at least."""

    ACCOUNT = "account"
    IMAGE = "image"
    RUN = "run"

    @property
    def intervals(self) -> int:
        """Versions come once a night, nodes at any time."""
        return 20 if self is Kind.IMAGE else 1


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What one look looks at.

    :param subscription: subscription of the login
    :param about: ARM id of the Batch account or the image definition, or name of the pool whose run it is
    :param also: keys of other looks that it reads
    :param run: the run that goes on, of such a look
    """

    kind: Kind
    connection: str
    subscription: str
    about: str
    also: tuple[str, ...] = ()
    run: RunSeen | None = None

    @property
    def key(self) -> str:
        """Key of what was seen."""
        return f"{PREFIX}/{self.kind}/{self.connection}/{folded(self.about)}"

    @property
    def lease_key(self) -> str:
        """Key of the lease."""
        return f"{PREFIX}/lease/{self.kind}/{self.connection}/{folded(self.about)}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Until when nobody else looks.

    :param holder: tells leases of the same time apart
    :param failures: looks that failed in a row
    """

    until: datetime
    holder: str
    failures: int = 0

    @classmethod
    def read(cls, text: str | None) -> Lease | None:
        """Return a lease as :meth:`text` wrote it."""
        kept = json.loads(text) if text else None
        return cls(until=datetime.fromisoformat(kept.pop("until")), **kept) if kept else None

    def text(self) -> str:
        """Return the lease as text, no two alike."""
        return json.dumps({**asdict(self), "until": self.until.isoformat()})


def seen(shared: Shared, unit: Unit) -> Look | None:
    """Return what the last look saw."""
    return read(shared.get(unit.key))


@lru_cache(maxsize=1024)  # the same texts are read at every request, and only some of them have changed
def read(text: str | None) -> Look | None:
    """Return a look as it was kept."""
    kept = json.loads(text) if text else None
    return Look(**{**kept, "at": moment(kept["at"])}) if kept else None


class Looker:
    """Makes looks in the background, a few logins at a time; the units of one login share its clients.

    :param glances: asks Azure
    """

    def __init__(self, glances: Glances | None = None) -> None:
        self._glances = glances
        self._lock = threading.Condition()
        self._waiting: deque[tuple[tuple[str, str], list[tuple[Unit, str | None]]]] = deque()
        self._queued: set[str] = set()
        self._threads = 0

    def see_to(self, units: Iterable[Unit], shared: Shared, now: datetime) -> None:
        """Begin the looks that are due; returns at once."""
        by_login: dict[tuple[str, str], list[tuple[Unit, str | None]]] = {}
        with self._lock:
            for unit in sorted(units, key=lambda unit: unit.kind.intervals):  # what changes soonest comes first
                text = shared.get(unit.lease_key)
                lease = Lease.read(text)
                if unit.key in self._queued or (lease and lease.until > now):
                    continue
                self._queued.add(unit.key)
                by_login.setdefault((unit.connection, unit.subscription), []).append((unit, text))
            self._waiting.extend(by_login.items())
            for _ in range(min(MOST_THREADS - self._threads, len(self._waiting))):
                self._threads += 1
                threading.Thread(target=self._work, name="golden-pools-looks", daemon=True).start()

    def is_at(self, units: Iterable[Unit]) -> bool:
        """Return whether this process is about to look at one of these."""
        with self._lock:
            return any(unit.key in self._queued for unit in units)

    def rest(self, timeout_seconds: float) -> bool:
        """Wait until every look that was begun has ended; returns whether that is so in time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._threads, timeout_seconds)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    self._lock.notify_all()
                    return
                login, units = self._waiting.popleft()
            try:
                self._look(login, units)
            except Exception:  # the border of a thread: whatever it is, the page goes on with what it has
                log.exception("Looks through connection %s could not be made", login[0])
            finally:
                with self._lock:
                    self._queued -= {unit.key for unit, _ in units}

    def _look(self, login: tuple[str, str], units: list[tuple[Unit, str | None]]) -> None:
        glances = self._glances or _glances()
        with glances.through(*login) as azure:
            for unit, before in units:
                begun = datetime.now(tz=UTC)
                was = Lease.read(before)
                lease = Lease(until=begun + LEASE, holder=uuid4().hex, failures=was.failures if was else 0)
                shared = shelf.take(unit.lease_key, before, lease.text(), unit.key, *unit.also)
                if shared is None:
                    continue  # somebody else makes this look
                look, busy = _attempt(azure, unit, shared)
                self._keep(unit, lease, begun, look, busy)
                if busy:
                    return  # Azure would say the same to the next one

    def _keep(self, unit: Unit, lease: Lease, begun: datetime, look: Look, busy: AzureBusyError | None) -> None:
        failures = lease.failures + 1 if look.error else 0
        pause = pause_after(unit.kind, look.poll_seconds or DEFAULT_SECONDS, failures)
        if busy and busy.retry_after_seconds:
            pause = max(pause, timedelta(seconds=busy.retry_after_seconds))
        rest = Lease(until=begun + pause, holder=lease.holder, failures=failures)
        text = json.dumps({**asdict(look), "at": look.at and look.at.isoformat()})
        shelf.settle(unit.lease_key, lease.text(), rest.text(), {unit.key: text})


def pause_after(kind: Kind, interval_seconds: float, failures: int) -> timedelta:
    """Return how long nobody looks after a look began.

    :param interval_seconds: of the connection
    :param failures: looks that failed in a row, this one too
    """
    usual = timedelta(seconds=interval_seconds * kind.intervals)
    longer = timedelta(seconds=DEFAULT_SECONDS) * 2 ** min(failures - 1, 8) if failures else usual
    return max(usual, min(LONGEST_PAUSE, longer))


def _attempt(azure: Glance, unit: Unit, shared: Shared) -> tuple[Look, AzureBusyError | None]:
    """Return what is seen now; of a look that fails the last good one stays, with the reason.

    The second value says that Azure throttles the login, or does not answer it.
    """
    last, busy = seen(shared, unit) or Look(), None
    try:
        return azure.look(unit, shared), None
    except GoldenPoolsError as error:
        busy = error if isinstance(error, AzureBusyError) else None
        why = " ".join(str(error).split())
    except Exception as error:  # a defect of ours: said on the page, told in the log
        log.exception("A look at %s failed", unit.about)
        why = f"{type(error).__name__}: see the API server's log"
    return replace(last, error=shortened(why, LONGEST_ERROR)), busy


def _glances() -> Glances:
    from golden_pools.ui.glances import Glances  # only where a look is made

    return Glances()


LOOKER = Looker()
"""The one of this process."""
