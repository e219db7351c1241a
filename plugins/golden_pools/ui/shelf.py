"""What all processes of all API servers share: values in the state store of the watch's asset, in Airflow's database.

A value is swapped by one conditional UPDATE, which SQLite and PostgreSQL do alike: of several that try, one succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.utils.session import create_session
from sqlalchemy import and_, select, update
from sqlalchemy.exc import IntegrityError

from golden_pools.assets import WATCH

if TYPE_CHECKING:
    from sqlalchemy import CursorResult
    from sqlalchemy.orm import Session

Shared = Mapping[str, str]
"""Values by key, as JSON text."""


def read(session: Session, *keys: str) -> dict[str, str] | None:
    """Return the values of the watch's asset: its findings, and what the page keeps; None: Airflow has no such asset.

    :param keys: these alone; all if there are none
    """
    is_asked = AssetStateStoreModel.asset_id == AssetModel.id
    if keys:
        is_asked = and_(is_asked, AssetStateStoreModel.key.in_(keys))
    rows = session.execute(
        select(AssetStateStoreModel.key, AssetStateStoreModel.value)
        .select_from(AssetModel)
        .outerjoin(AssetStateStoreModel, is_asked)
        .where(AssetModel.name == WATCH.name)
    ).all()
    return {row.key: row.value for row in rows if row.key is not None} if rows else None


def take(key: str, before: str | None, after: str, *keys: str) -> dict[str, str] | None:
    """Put a value in the place of another, and return those of ``keys``, in a transaction of its own.

    Of several that try at once, in whatever process, one succeeds; the others, and all without the asset, get None.

    :param before: what has to be there still; None: nothing
    """
    try:
        with create_session() as session:
            asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == WATCH.name))
            if asset_id is None or not _swap(session, asset_id, key, before, after):
                return None
            return read(session, *keys) or {}
    except IntegrityError:  # somebody else has put the first value there
        return None


def settle(key: str, before: str, after: str, kept: Mapping[str, str]) -> bool:
    """Keep values and put one in the place of another, in a transaction of its own; nothing where that is gone."""
    with create_session() as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == WATCH.name))
        if asset_id is None or not _swap(session, asset_id, key, before, after):
            return False
        for name, value in kept.items():
            there = session.get(AssetStateStoreModel, (asset_id, name))
            if there is None:
                session.add(AssetStateStoreModel(asset_id=asset_id, key=name, value=value, updated_at=_now()))
            else:
                there.value, there.updated_at = value, _now()
        return True


def _swap(session: Session, asset_id: int, key: str, before: str | None, after: str) -> bool:
    if before is None:
        session.add(AssetStateStoreModel(asset_id=asset_id, key=key, value=after, updated_at=_now()))
        session.flush()
        return True
    changed = session.execute(
        update(AssetStateStoreModel)
        .where(
            AssetStateStoreModel.asset_id == asset_id,
            AssetStateStoreModel.key == key,
            AssetStateStoreModel.value == before,
        )
        .values(value=after, updated_at=_now())
    )
    return bool(cast("CursorResult[Any]", changed).rowcount)


def _now() -> datetime:
    return datetime.now(tz=UTC)
