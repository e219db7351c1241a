"""What one request reads: Airflow's database once, and which looks at Azure it asks for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from golden_pools.rules.board.facts import FindingSeen, Look, RunSeen
from golden_pools.rules.board.rows import Known
from golden_pools.rules.facts import folded
from golden_pools.rules.plan import RESIZE_DAG_ID, SCALE_DAG_PREFIX, account_id, definition_of, refresh_dag_id
from golden_pools.rules.watch import STATE_KEY
from golden_pools.ui import airflow_db, shelf
from golden_pools.ui.access import Rights
from golden_pools.ui.looks import Kind, Unit, seen

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from sqlalchemy.orm import Session

    from golden_pools.spec.loader import Loaded

MOST_HISTORY = 30

NOTHING_KEPT = Look(
    error="Airflow has no asset golden-pools/watch (yet), where looks at Azure are kept: is watch_pools there?"
)


class Reading:
    """One request.

    :param pools: names of the pools that are asked for
    """

    def __init__(self, session: Session, user: BaseUser, loaded: Loaded, pools: Iterable[str]) -> None:
        self._session = session
        self._loaded = loaded
        asked = {pool: (refresh_dag_id(pool), f"{SCALE_DAG_PREFIX}{pool}") for pool in pools}
        ids = [RESIZE_DAG_ID, *(dag_id for both in asked.values() for dag_id in both)]
        self.rights = Rights(user, airflow_db.teams(session, ids))
        self._readable = self.rights.readable(ids)
        self.shown = tuple(pool for pool in asked if refresh_dag_id(pool) in self._readable)
        self.shared = shelf.read(session)

    def known(self) -> Known:
        """Return what rows are made of, in as many statements for one pool as for all."""
        ids = {dag_id for pool in self.shown for dag_id in self.dag_ids(pool)}
        runs = self._telling(airflow_db.newest_runs(self._session, ids - {RESIZE_DAG_ID}))
        if RESIZE_DAG_ID in ids:
            runs += _newest_by_pool(airflow_db.last_runs(self._session, RESIZE_DAG_ID, airflow_db.MOST_RESIZES))
        runs = airflow_db.with_what_tells(self._session, runs)
        refresh_ids = {refresh_dag_id(pool) for pool in self.shown}
        return Known(
            now=datetime.now(tz=UTC),
            specs=self._loaded.specs,
            shown=self.shown,
            dags=airflow_db.dags(self._session, refresh_ids),
            refreshed={run.dag_id: run for run in runs if run.dag_id in refresh_ids and not run.plan_only},
            planned={run.dag_id: run for run in runs if run.plan_only},
            resized=_resized(run for run in runs if run.dag_id not in refresh_ids),
            accounts=self._looks(Kind.ACCOUNT),
            images=self._looks(Kind.IMAGE),
            watch=_watch(self.shared or {}),
            may_trigger=self.rights.triggerable([*refresh_ids, RESIZE_DAG_ID]),
        )

    def units(self) -> list[Unit]:
        """Return the looks at Azure that the pools live on, each once."""
        units = {unit.key: unit for pool in self.shown for unit in self._units(pool)}
        return list(units.values())

    def run_unit(self, pool: str, run: RunSeen) -> Unit:
        """Return the look at what a run is making."""
        account = self._units(pool)[0]
        return replace(account, kind=Kind.RUN, about=pool, also=(account.key,), run=run)

    def look(self, unit: Unit) -> Look | None:
        """Return what was last seen."""
        return NOTHING_KEPT if self.shared is None else seen(self.shared, unit)

    def dag_ids(self, pool: str) -> list[str]:
        """Return the DAGs whose runs are a pool's, as far as the viewer may read them."""
        ids = (refresh_dag_id(pool), f"{SCALE_DAG_PREFIX}{pool}", RESIZE_DAG_ID)
        return [dag_id for dag_id in ids if dag_id in self._readable]

    def past(self, pool: str) -> list[RunSeen]:
        """Return the last runs of a pool, newest first, without their tasks."""
        runs: list[RunSeen] = []
        for dag_id in self.dag_ids(pool):
            of_all = dag_id == RESIZE_DAG_ID
            last = airflow_db.last_runs(self._session, dag_id, airflow_db.MOST_RESIZES if of_all else MOST_HISTORY)
            runs += [run for run in last if not of_all or run.pool == pool]
        return sorted(runs, key=lambda run: run.number, reverse=True)[:MOST_HISTORY]

    def one(self, pool: str, run_id: str) -> RunSeen | None:
        """Return a run of a pool, without its tasks; where two DAGs began one at the same moment, the refresh."""
        found = airflow_db.one_run(self._session, self.dag_ids(pool), run_id) if self.shown else []
        mine = [run for run in found if run.dag_id != RESIZE_DAG_ID or run.pool == pool]
        return min(mine, key=lambda run: run.dag_id != refresh_dag_id(pool), default=None)

    def _telling(self, newest: list[RunSeen]) -> list[RunSeen]:
        """Return the runs, and before each that only planned the last that did something: it tells how the pool is."""
        planned = [run.dag_id for run in newest if run.plan_only]
        if not planned:
            return newest
        before = airflow_db.runs_before(self._session, planned, MOST_HISTORY)
        done = (next((run for run in before[dag_id] if not run.plan_only), None) for dag_id in planned)
        return [*newest, *(run for run in done if run is not None)]

    def _units(self, pool: str) -> list[Unit]:
        spec = self._loaded.specs[pool]
        account = Unit(
            kind=Kind.ACCOUNT, connection=spec.connection, subscription=spec.subscription, about=account_id(spec)
        )
        definition = definition_of(spec, self._loaded.specs)
        return [account, replace(account, kind=Kind.IMAGE, about=definition)] if definition else [account]

    def _looks(self, kind: Kind) -> dict[tuple[str, str], Look]:
        found = ((unit, self.look(unit)) for unit in self.units() if unit.kind is kind)
        return {(unit.connection, folded(unit.about)): look for unit, look in found if look is not None}


def _newest_by_pool(runs: Iterable[RunSeen]) -> list[RunSeen]:
    """Return the newest run of each pool; the runs come newest first."""
    newest: dict[str, RunSeen] = {}
    for run in runs:
        if run.pool:
            newest.setdefault(run.pool, run)
    return list(newest.values())


def _resized(runs: Iterable[RunSeen]) -> dict[str, RunSeen]:
    """Return the newest run that only resizes by its pool, whichever DAG it is of."""
    named = (replace(run, pool=run.pool or run.dag_id.removeprefix(SCALE_DAG_PREFIX)) for run in runs)
    return {run.pool or "": run for run in sorted(named, key=lambda run: run.number)}


def _watch(shared: Mapping[str, str]) -> dict[str, tuple[FindingSeen, ...]]:
    """Return the drift watch's open findings by what they are about; those of a version are its definition's."""
    kept = json.loads(shared.get(STATE_KEY, "{}"))
    found: dict[str, list[FindingSeen]] = defaultdict(list)
    for one in kept.get("known", ()):
        subject = folded(str(one["subject"]).partition(" in ")[0]).partition("/versions/")[0]
        found[subject].append(
            FindingSeen(level=str(one["level"]).lower(), check=one["check"], seen=one["seen"], advice=one["advice"])
        )
    return {subject: tuple(findings) for subject, findings in found.items()}
