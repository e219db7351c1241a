"""The drift watch: look at everything once, then say what is new and what is gone. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from golden_pools.metrics import send
from golden_pools.operators.base import now, pulled
from golden_pools.rules.facts import BatchAccount
from golden_pools.rules.metrics import of_watch
from golden_pools.rules.watch import (
    ALL_VERSIONS,
    STATE_KEY,
    Finding,
    Level,
    Look,
    News,
    Seen,
    Watched,
    findings,
    new_and_gone,
    render,
    versions_to_look_at,
    watched,
)
from golden_pools.spec.loader import load_pools
from golden_pools.words import counted

if TYPE_CHECKING:
    import logging

    from airflow.sdk import Asset, Context

    from golden_pools.hooks.lists import Lists
    from golden_pools.spec.loader import Loaded


class WatchOperator(BaseOperator):
    """Look at the pools, images and leftovers of all specs, and say what is not as it should be.

    A look-up that fails is told as unknown, with its reason; the others go on.

    :raises GoldenPoolsError: what the last look-up said, where not one succeeded
    """

    ui_color = "#fff3d6"

    def execute(self, context: Context) -> dict[str, Any]:
        """Return moment, findings and what is unknown."""
        moment, loaded = now(), load_pools()
        seen = observe(loaded, moment)
        found = findings(seen)
        send(of_watch(seen))
        self.log.info("%s about %s", counted(len(found), "finding"), counted(len(seen.watched), "spec"))
        if found:
            self.log.info("Drift:\n%s", render(found))
        for key, why in seen.unknown.items():
            self.log.warning("Unknown: %s: %s", key, why)
        return {
            "at": moment.isoformat(),
            "findings": [finding.to_dict() for finding in found],
            "unknown": dict(seen.unknown),
        }


class AlertOperator(BaseOperator):
    """Hand over what a look changed: each new finding once, and once more when it is gone.

    What was known before stands in the state store of the asset, which outlives runs. A try that is repeated after the
    state was written hands over the same news again: rather twice than never.

    :param watch_task_id: task whose XCom holds the look
    :param asset: an outlet of this task; its event carries ``new``, ``gone``, ``findings`` and ``unknown``
    """

    ui_color = "#eef2f7"

    def __init__(self, *, watch_task_id: str, asset: Asset, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch_task_id = watch_task_id
        self.asset = asset

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what is new and what is gone."""
        look = pulled(context, self.watch_task_id)
        news = self._news(context["asset_state_store"][self.asset], look)
        tell(self.log, news)
        told = {
            "new": [finding.to_dict() for finding in news.new],
            "gone": [finding.to_dict() for finding in news.gone],
        }
        context["outlet_events"][self.asset].extra = {**told, "findings": look["findings"], "unknown": look["unknown"]}
        return told

    def _news(self, store: Any, look: Mapping[str, Any]) -> News:
        kept = store.get(STATE_KEY)
        state: Mapping[str, Any] = kept if isinstance(kept, Mapping) else {}
        known = _read(state.get("known", ()))
        if state.get("at") == look["at"]:  # this very look was handed over, or was about to be
            new = set(state["new"])
            return News(
                new=tuple(finding for finding in known if finding.id in new), gone=_read(state["gone"]), known=known
            )
        news = new_and_gone(known, _read(look["findings"]), look["unknown"])
        store.set(
            STATE_KEY,
            {
                "at": look["at"],
                "known": [finding.to_dict() for finding in news.known],
                "new": [finding.id for finding in news.new],
                "gone": [finding.to_dict() for finding in news.gone],
            },
        )
        return news


def tell(log: logging.Logger, news: News) -> None:
    """Write one line per new finding, at its own level, and one per finding that is gone."""
    tellers = {Level.ERROR: log.error, Level.WARNING: log.warning, Level.INFO: log.info}
    for finding in news.new:
        tellers[finding.level]("New: %s: %s. What to do: %s", finding.check, finding.seen, finding.advice)
    for finding in news.gone:
        log.info("Gone: %s: %s", finding.check, finding.seen)
    if not (news.new or news.gone):
        log.info("Nothing is new and nothing is gone; %s known", counted(len(news.known), "finding"))


def _read(values: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding.of(value) for value in values)


def observe(loaded: Loaded, moment: datetime) -> Seen:
    """Ask Azure everything that the checks look at, each thing once."""
    from golden_pools.hooks.lists import Lists

    specs = tuple(watched(loaded.specs))
    unread = {path.stem: tuple(error.faults) for path, error in loaded.faults.items()}
    with Lists() as lists:
        return _Observer(specs, unread, moment, lists).look()


class _Observer:
    """One look."""

    def __init__(
        self, specs: tuple[Watched, ...], unread: Mapping[str, tuple[str, ...]], moment: datetime, lists: Lists
    ) -> None:
        self._specs, self._unread, self._moment = specs, unread, moment
        self._lists = lists
        self._seen: dict[str, dict[str, Any]] = {
            field.name: {} for field in fields(Seen) if field.name not in ("now", "watched", "unread", "unknown")
        }

    def look(self) -> Seen:
        """Ask, account by account, then about images, then about leftovers."""
        for one in self._specs:
            self._account(one)
            self._images(one)
        self._replication()
        failures = self._lists.failures
        if failures and len(failures) == len(self._lists.asked):
            raise [*failures.values()][-1]
        return self._so_far()

    def _so_far(self) -> Seen:
        unknown = {Look.SPEC.of(name): "its file has faults: see pool_spec_check" for name in self._unread}
        unknown |= {key: error.answer or str(error) for key, error in self._lists.failures.items()}
        if self._lists.lacks_versions:
            unknown[ALL_VERSIONS] = "some could not be listed, so nobody can say what is left over"
        return Seen(now=self._moment, watched=self._specs, unread=self._unread, unknown=unknown, **self._seen)

    def _ask(self, look: Look, about: str, into: str, question: Callable[[], Any]) -> Any:
        answer = self._lists.ask(look, about, question)
        if answer is not None:
            self._seen[into][about.casefold()] = answer
        return answer

    def _account(self, one: Watched) -> None:
        from golden_pools.hooks.batch import BatchHook

        batch = self._lists.hook(BatchHook, *one.login)
        group, name, id_ = one.spec.pool.resource_group, one.spec.pool.account, one.account_id
        account: BatchAccount | None = self._ask(Look.ACCOUNT, id_, "accounts", lambda: batch.account(group, name))
        self._ask(Look.POOLS, id_, "pools", lambda: tuple(batch.pools(group, name)))
        self._ask(Look.NODES, id_, "nodes", lambda: batch.node_counts(group, name))
        self._ask(Look.SUPPORTED_IMAGES, id_, "supported_images", lambda: tuple(batch.supported_images(group, name)))
        if account is not None:
            location = account.location
            self._ask(Look.VM_SIZES, location, "vm_sizes", lambda: batch.vm_sizes(location))

    def _images(self, one: Watched) -> None:
        """List the versions of all galleries, and what lies in the resource group of a spec whose runs make images."""
        self._seen["versions"] |= self._lists.versions(*one.login, [one.definition] if one.definition else [])
        if (group_id := one.image_group) is not None:
            for look, found in self._lists.in_group(*one.login, group_id.rpartition("/")[2]).items():
                self._seen[look.name.lower()][group_id.casefold()] = found

    def _replication(self) -> None:
        """Ask for the replication of the versions that matter, with the login of a spec that lives on them."""
        from golden_pools.hooks.compute import ComputeHook

        of_definition = {one.definition.casefold(): one.login for one in self._specs if one.definition}
        of_subscription = {one.spec.subscription.casefold(): one.login for one in self._specs}
        for version_id in sorted(versions_to_look_at(self._so_far())):
            definition, subscription = version_id.partition("/versions/")[0], version_id.split("/")[2]
            login = of_definition.get(definition) or of_subscription[subscription]
            question = partial(self._lists.hook(ComputeHook, *login).image_version, version_id)
            self._ask(Look.VERSION, version_id, "replicated", question)  # None: refused, or deleted since
