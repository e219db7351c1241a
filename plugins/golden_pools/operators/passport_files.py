"""What stages keep of passports as files, where the spec names a place; a place that fails is a warning, no failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from golden_pools.errors import PassportStoreError
from golden_pools.operators.base import now
from golden_pools.rules.facts import folded
from golden_pools.rules.passport import Became, FateOf, read_passport
from golden_pools.rules.passport_parts import merge, moved_off, noted
from golden_pools.rules.plan import RunPlan, definition_of
from golden_pools.spec.loader import load_pools

if TYPE_CHECKING:
    from golden_pools.hooks.passports import PassportStore
    from golden_pools.spec.image import Passports

log = logging.getLogger(__name__)


def keep_passport(plan: RunPlan, passport: Mapping[str, Any]) -> None:
    """Add what the run knows of its image to the part of its DAG."""
    _keep(plan.spec.image.passports, lambda store: store.add(plan.dag_id, read_passport(passport)))


def unreachable_store(plan: RunPlan) -> dict[str, str] | None:
    """Return a warning for the passport where its place cannot be reached, by one look into its folder."""
    from golden_pools.hooks.passports import PassportStore

    if plan.spec.image.passports is None:
        return None
    try:
        PassportStore(plan.spec.image.passports).look()
    except PassportStoreError as error:
        log.warning("Nothing of this run's passport will be kept as a file. %s", error)
        return {
            "level": "WARNING",
            "check": "passport-store",
            "seen": f"{error.what}: {error.answer}",
            "advice": error.advice,
        }
    return None


def note_fate(plan: RunPlan, became: Became, why: str) -> None:
    """Note what became of the run's image; what is so already is not noted again."""
    _keep(plan.spec.image.passports, partial(_note, writer=plan.dag_id, image_id=plan.image_id, became=became, why=why))


def note_move(plan: RunPlan, *, image_before: str | None, when: str) -> None:
    """Note in the part about the image before that the pool has left it.

    :param when: the moment, ISO 8601
    """
    if not image_before or folded(image_before) == folded(plan.image_id):
        return
    moment = datetime.fromisoformat(when)
    _keep(
        plan.spec.image.passports,
        lambda store: store.change(
            plan.dag_id,
            image_before,
            lambda part: part and moved_off(part, plan.pool, to=plan.image_id, when=moment),
        ),
    )


def note_deleted(dag_id: str, image_ids: Iterable[str]) -> None:
    """Note that images were deleted, wherever specs of the same definition keep passports."""
    ids = list(image_ids)
    specs = load_pools().specs if ids else {}
    for spec in specs.values():
        place, definition = spec.image.passports, folded(definition_of(spec, specs) or "")
        for image_id in ids:
            if place and folded(image_id).startswith(f"{definition}/versions/"):
                _keep(place, partial(_note, writer=dag_id, image_id=image_id, became=Became.RETIRED, why=DELETED))


DELETED = "nothing needed it any more, and it was deleted"


def _note(store: PassportStore, *, writer: str, image_id: str, became: Became, why: str) -> None:
    fate = noted(image_id, FateOf(became=became, why=why, when=now(), by=writer))

    def with_fate(part: Any) -> Any:
        if part is None:
            return fate
        return part if part.became is became else merge([part, fate])

    store.change(writer, image_id, with_fate)


def _keep(place: Passports | None, write: Callable[[PassportStore], None]) -> None:
    """Write, where the spec names a place."""
    if place is None:
        return
    from golden_pools.hooks.passports import PassportStore

    with _only_warned():
        write(PassportStore(place))


@contextmanager
def _only_warned() -> Iterator[None]:
    try:
        yield
    except PassportStoreError as error:
        log.warning("%s The run goes on: its passport is in Airflow too.", error)
