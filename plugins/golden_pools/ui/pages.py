"""The page's answers, put together from what a request reads; looks at Azure that are due begin on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.utils.session import create_session

from golden_pools.rules.board.facts import RunSeen
from golden_pools.rules.board.line import line, portal
from golden_pools.rules.board.looks import pool_in, same_image, versions_in
from golden_pools.rules.board.progress import NODE_STAGES, is_at, of_nodes, points_of, pool_of_run, progress_of
from golden_pools.rules.board.rows import Known, Row, row, rows, targets_now
from golden_pools.rules.board.runs import head, history, series, stages, target_of, verdict
from golden_pools.rules.facts import folded
from golden_pools.rules.plan import RESIZE_DAG_ID, account_id, definition_of
from golden_pools.ui import airflow_db
from golden_pools.ui.looks import LOOKER, Unit
from golden_pools.ui.reading import Reading
from golden_pools.ui.specs import current_specs

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from sqlalchemy.orm import Session

    from golden_pools.spec.loader import Loaded

INTERVAL_SECONDS, SOON_SECONDS = 15, 2
"""How often a browser should ask again: usually, and while the first look at Azure is under way."""


def overview(user: BaseUser) -> dict[str, Any]:
    """Return all pools that a viewer may see."""
    loaded = current_specs()
    with create_session() as session:
        reading = Reading(session, user, loaded, loaded.specs)
        known = reading.known()
    units = reading.units()
    _see_to(reading, units, known)
    return {
        "at": known.now,
        "interval_seconds": _interval(reading, units),
        "pools": [asdict(one) for one in rows(known)],
        "faults": _faults(loaded) if reading.rights.sees_import_errors() else [],
    }


def pool_page(user: BaseUser, pool: str) -> dict[str, Any] | None:
    """Return one pool, or None where there is none that the viewer may see."""
    loaded = current_specs()
    if pool not in loaded.specs:
        return None
    with create_session() as session:
        reading = Reading(session, user, loaded, [pool])
        if not reading.shown:
            return None
        known = reading.known()
        past = airflow_db.with_all(session, reading.past(pool))
        newest = max(past, key=lambda run: run.number, default=None)
        now_on = _run(session, reading, known, pool, newest) if newest else None
    units = reading.units()
    _see_to(reading, [*units, *([reading.run_unit(pool, newest)] if newest and newest.goes_on else [])], known)
    one = row(known, pool)
    return {
        "at": known.now,
        "interval_seconds": _interval(reading, units),
        "row": asdict(one),
        "run": now_on,
        "history": [asdict(run) for run in history(past)],
        **_image(known, one, past),
        "resize_dag_id": RESIZE_DAG_ID,
        "may": {"trigger": one.may["trigger"], "resize": RESIZE_DAG_ID in known.may_trigger},
    }


def run_page(user: BaseUser, pool: str, run_id: str) -> dict[str, Any] | None:
    """Return one run of a pool, or None where there is none that the viewer may see."""
    loaded = current_specs()
    if pool not in loaded.specs:
        return None
    with create_session() as session:
        reading = Reading(session, user, loaded, [pool])
        found = reading.one(pool, run_id)
        if found is None:
            return None
        known, run = reading.known(), airflow_db.with_all(session, [found])[0]
        shown = _run(session, reading, known, pool, run)
    units = [*reading.units(), *([reading.run_unit(pool, run)] if run.goes_on else [])]
    _see_to(reading, units, known)
    return shown


def _see_to(reading: Reading, units: Iterable[Unit], known: Known) -> None:
    if reading.shared is not None:
        LOOKER.see_to(units, reading.shared, known.now)


def _interval(reading: Reading, units: list[Unit]) -> int:
    """Return when to ask again: soon where a first look is under way, else when there may be another look."""
    unseen = [unit for unit in units if reading.look(unit) is None]
    if unseen and LOOKER.is_at(unseen):
        return SOON_SECONDS
    told = [look.poll_seconds for unit in units if (look := reading.look(unit)) and look.poll_seconds]
    return max(SOON_SECONDS, min(INTERVAL_SECONDS, round(min(told, default=INTERVAL_SECONDS))))


def _run(session: Session, reading: Reading, known: Known, pool: str, run: RunSeen) -> dict[str, Any]:
    """Return a run with its stages, how far they are, and what it found out."""
    spec = known.specs[pool]
    account = known.accounts.get((spec.connection, folded(account_id(spec))))
    look = reading.look(reading.run_unit(pool, run))
    target = target_of(run)
    if target is None:
        target = sum(targets_now(known, pool).values())
    progress = progress_of(run, look) if run.goes_on else []
    if run.goes_on and is_at(run, NODE_STAGES):
        progress += of_nodes(pool, pool_of_run(pool, run, account), target)
    found = verdict(run)
    return {
        **asdict(head(run)),
        "stages": [asdict(stage) for stage in stages(run, airflow_db.task_order(session, run.dag_id), known.now)],
        "verdict": asdict(found) if found else None,
        "progress": [asdict(one) for one in progress],
        "series": series(run, points_of(run, look), target),
        "plan": run.plan_table if run.plan_only else None,
    }


def _image(known: Known, one: Row, past: Iterable[RunSeen]) -> dict[str, Any]:
    """Return the line of the pool's image, the versions that it could go back to, and the links to the portal."""
    spec = known.specs[one.pool]
    account = known.accounts.get((spec.connection, folded(account_id(spec))))
    definition = definition_of(spec, known.specs)
    images = known.images.get((spec.connection, folded(definition))) if definition else None
    there, versions = pool_in(account, one.pool), versions_in(images)
    records = [record for run in past if (record := run.values.get("pool.record"))]
    stations = line(spec, one.pool, there=there, nodes=one.nodes, passports=records, versions=versions, look=account)
    on = there.image_id if there else None
    links = {
        "Batch account": portal(account, account_id(spec)),
        "Source of the image": stations[0].portal,
        "Image definition": portal(account, definition),
    }
    return {
        "line": [asdict(station) for station in stations],
        "versions": [{**asdict(version), "current": same_image(version.id, on)} for version in versions],
        "links": [{"text": text, "url": url} for text, url in links.items() if url],
    }


def _faults(loaded: Loaded) -> list[dict[str, Any]]:
    return [{"file": path.name, "faults": list(error.faults)} for path, error in loaded.faults.items()]
