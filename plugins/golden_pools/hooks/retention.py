"""What retention reads: one look at everything that says whether something is still needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from golden_pools.errors import GoldenPoolsError
from golden_pools.hooks.batch import BatchHook
from golden_pools.hooks.inventory import InventoryHook
from golden_pools.hooks.lists import Lists
from golden_pools.rules.facts import ImageVersion, Pool, folded
from golden_pools.rules.plan import account_id, definition_of
from golden_pools.rules.retention import World
from golden_pools.rules.watch import Look
from golden_pools.spec.loader import Loaded


class Survey(Lists):
    """Looks at everything that says whether something is still needed. Reads only.

    :param loaded: all specs; a file with faults counts as a look-up that failed, since nobody knows what it keeps
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.specs = loaded.specs
        self._faults = [*loaded.faults.values()]
        self._accounts: dict[str, _Account] = {}

    def world(self, now: datetime) -> World:
        """Return everything that can be read; what cannot stands in ``unread``, and in :attr:`errors`."""
        self._find_accounts()
        pools = self.pools()
        versions: dict[str, ImageVersion] = {}
        lists: dict[Look, dict[str, Any]] = defaultdict(dict)
        for spec in self.specs.values():
            if not spec.image.source.kind.makes_images:
                continue
            login = spec.connection, spec.subscription
            definition = definition_of(spec, self.specs)
            for listed in self.versions(*login, [definition] if definition else []).values():
                _add(versions, listed)
            for look, found in self.in_group(*login, str(spec.image.resource_group)).items():
                _add(lists[look], found)
        return World(
            now=now,
            specs=self.specs,
            versions=tuple(versions.values()),
            images=tuple(lists[Look.MANAGED_IMAGES].values()),
            snapshots=tuple(lists[Look.SNAPSHOTS].values()),
            vms=tuple(lists[Look.VMS].values()),
            cards=tuple(lists[Look.NETWORK_CARDS].values()),
            collections=tuple(lists[Look.RESTORE_POINTS].values()),
            disks=tuple(lists[Look.DISKS].values()),
            pools=pools,
            unread=self.unread,
        )

    @property
    def errors(self) -> list[GoldenPoolsError]:
        """What the look-ups that failed were answered."""
        return [*self._faults, *self.failures.values()]

    @property
    def unread(self) -> tuple[str, ...]:
        """The look-ups that failed, each in one line."""
        return tuple(" ".join(str(error).split()) for error in self.errors)

    def pools(self) -> tuple[Pool, ...]:
        """Return the pools of all accounts, as they are now."""
        found: dict[str, Pool] = {}
        for key, account in self._accounts.items():
            failures: list[GoldenPoolsError] = []
            for connection in account.connections:  # any login that may read the list reads all of it
                try:
                    hook = self.hook(BatchHook, connection, account.subscription)
                    _add(found, hook.pools(account.group, account.name))
                    break
                except GoldenPoolsError as error:
                    failures.append(error)
            else:
                self.failures[Look.POOLS.of(key)] = failures[0]
        return tuple(found.values())

    def _find_accounts(self) -> None:
        """Note the accounts of the specs, those that specs name, and all that the logins see beside them."""
        for spec in self.specs.values():
            self._note_account(account_id(spec), spec.connection)
            for further in spec.retention.accounts:
                self._note_account(further, spec.connection)
        lists = {
            (connection, account.subscription)
            for account in self._accounts.values()
            for connection in account.connections
        }
        for connection, subscription in sorted(lists):
            hook = self.hook(InventoryHook, connection, subscription)
            for account in self.ask(Look.ACCOUNTS, f"{subscription} by {connection}", hook.accounts) or ():
                self._note_account(account.id, connection)

    def _note_account(self, account: str, connection: str) -> None:
        _, _, subscription, _, group, _, _, _, name = account.rstrip("/").split("/")
        noted = _Account(subscription=subscription.lower(), group=group, name=name)
        noted = self._accounts.setdefault(folded(account), noted)
        if connection not in noted.connections:
            noted.connections.append(connection)


@dataclass(kw_only=True)
class _Account:
    subscription: str
    group: str
    name: str
    connections: list[str] = field(default_factory=list)


def _add(found: dict[str, Any], facts: Iterable[Any]) -> None:
    found.update({folded(fact.id): fact for fact in facts})
