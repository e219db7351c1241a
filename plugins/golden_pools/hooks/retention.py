"""What retention reads, and how it deletes: one look at everything, and the beginning of one deletion at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from golden_pools.errors import GoldenPoolsError
from golden_pools.hooks.azure import AzureHook
from golden_pools.hooks.batch import BatchHook
from golden_pools.hooks.failures import azure_errors
from golden_pools.hooks.inventory import InventoryHook
from golden_pools.hooks.operations import PendingOperation, StartOnly
from golden_pools.rules.facts import ImageVersion, ManagedImage, Pool, Resource, Snapshot, folded
from golden_pools.rules.plan import account_id
from golden_pools.rules.retention import World
from golden_pools.spec.image import Publish
from golden_pools.spec.loader import Loaded

Hook = TypeVar("Hook", bound=AzureHook)
Fact = TypeVar("Fact")


class Survey(ExitStack):
    """Looks at everything that says whether something is still needed; each list is asked for once. Reads only.

    :param loaded: all specs; a file with faults counts as a look-up that failed, since nobody knows what it keeps
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.specs = loaded.specs
        self.errors: list[GoldenPoolsError] = list(loaded.faults.values())
        self._hooks: dict[tuple[type, str, str], AzureHook] = {}
        self._accounts: dict[str, _Account] = {}

    def world(self, now: datetime) -> World:
        """Return everything that can be read; what cannot stands in ``unread``, and in :attr:`errors`."""
        self._find_accounts()
        pools = self.pools()
        versions: dict[str, ImageVersion] = {}
        images: dict[str, ManagedImage] = {}
        snapshots: dict[str, Snapshot] = {}
        vms: dict[str, Resource] = {}
        disks: dict[str, Resource] = {}
        seen: set[str] = set()
        for spec in self.specs.values():
            if not spec.image.source.kind.makes_images:
                continue
            hook = self._hook(InventoryHook, spec.connection, spec.subscription)
            group = str(spec.image.resource_group)
            if spec.image.publish is Publish.GALLERY and _is_new(seen, hook, group, str(spec.image.gallery)):
                for definition in self._ask(hook.definitions, group, str(spec.image.gallery)):
                    _add(versions, self._ask(hook.versions, definition))
            if _is_new(seen, hook, group):
                _add(images, self._ask(hook.managed_images, group))
                _add(snapshots, self._ask(hook.snapshots, group))
                _add(vms, self._ask(hook.vms, group))
                _add(disks, self._ask(hook.disks, group))
        return World(
            now=now,
            specs=self.specs,
            versions=tuple(versions.values()),
            images=tuple(images.values()),
            snapshots=tuple(snapshots.values()),
            vms=tuple(vms.values()),
            disks=tuple(disks.values()),
            pools=pools,
            unread=self.unread,
        )

    @property
    def unread(self) -> tuple[str, ...]:
        """The look-ups that failed, each in one line."""
        return tuple(" ".join(str(error).split()) for error in self.errors)

    def pools(self) -> tuple[Pool, ...]:
        """Return the pools of all accounts, as they are now."""
        found: dict[str, Pool] = {}
        for account in self._accounts.values():
            failures: list[GoldenPoolsError] = []
            for connection in account.connections:  # any login that may read the list reads all of it
                try:
                    hook = self._hook(BatchHook, connection, account.subscription)
                    _add(found, hook.pools(account.group, account.name))
                    break
                except GoldenPoolsError as error:
                    failures.append(error)
            else:
                self.errors.append(failures[0])
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
            for account in self._ask(self._hook(InventoryHook, connection, subscription).accounts):
                self._note_account(account.id, connection)

    def _note_account(self, account: str, connection: str) -> None:
        _, _, subscription, _, group, _, _, _, name = account.rstrip("/").split("/")
        noted = _Account(subscription=subscription.lower(), group=group, name=name)
        noted = self._accounts.setdefault(folded(account), noted)
        if connection not in noted.connections:
            noted.connections.append(connection)

    def _ask(self, question: Callable[..., list[Fact]], *arguments: str) -> list[Fact]:
        """Return a list; one that cannot be read is noted, and empty."""
        try:
            return question(*arguments)
        except GoldenPoolsError as error:
            self.errors.append(error)
            return []

    def _hook(self, kind: type[Hook], connection: str, subscription: str) -> Hook:
        key = (kind, connection, subscription)
        if key not in self._hooks:
            self._hooks[key] = self.enter_context(kind(connection, subscription, read_only=True))
        hook = self._hooks[key]
        assert isinstance(hook, kind)
        return hook


@dataclass(kw_only=True)
class _Account:
    subscription: str
    group: str
    name: str
    connections: list[str] = field(default_factory=list)


def _is_new(seen: set[str], hook: AzureHook, *names: str) -> bool:
    key = "/".join((hook.subscription, *names)).casefold()
    if key in seen:
        return False
    seen.add(key)
    return True


def _add(found: dict[str, Any], facts: Iterable[Any]) -> None:
    found.update({folded(fact.id): fact for fact in facts})


class RemovalHook(AzureHook):
    """Begins deletions in Microsoft.Compute; nothing waits here."""

    def begin_delete(self, resource_id: str) -> PendingOperation:
        """Begin to delete a version, a managed image, a snapshot, a VM or a disk; one that is gone is no failure.

        :raises AzureRefusedError: it is locked, in use, or not to be deleted before its end of life, among others
        """
        from azure.mgmt.core.tools import parse_resource_id

        parts = parse_resource_id(resource_id)
        client = self.compute_client(parts["subscription"])
        start: Any
        where: tuple[str, ...] = (parts["resource_group"], parts["name"])
        match parts["type"].lower():
            case "galleries":
                start = client.gallery_image_versions.begin_delete
                where += (parts["child_name_1"], parts["child_name_2"])
            case "images":
                start = client.images.begin_delete
            case "snapshots":
                start = client.snapshots.begin_delete
            case "disks":
                start = client.disks.begin_delete
            case "virtualmachines":
                start = client.virtual_machines.begin_delete
            case other:
                raise ValueError(f"nothing of the kind {other} is ever deleted")
        what = f"delete {resource_id.rstrip('/').rpartition('/')[2]}"
        with azure_errors(f"Could not {what}", resource_id):
            poller = start(*where, polling=StartOnly())
        return PendingOperation(what=what, resource_id=resource_id, token=poller.continuation_token(), removes=True)
