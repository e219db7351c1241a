"""Many lists at once, for those who compare (drift, retention): each is asked for once, and one that fails is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from golden_pools.errors import GoldenPoolsError
from golden_pools.hooks.azure import AzureHook
from golden_pools.hooks.inventory import InventoryHook
from golden_pools.rules.facts import ImageVersion, folded
from golden_pools.rules.watch import Look

Hook = TypeVar("Hook", bound=AzureHook)
Answer = TypeVar("Answer")


class Lists(ExitStack):
    """The questions of one look and their answers. Its hooks refuse to write; closing it closes them.

    ``failures`` holds what Azure refused to say, by the key of the look-up; ``asked`` all keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, GoldenPoolsError] = {}
        self.asked: dict[str, Any] = {}
        self._hooks: dict[tuple[type, str, str], AzureHook] = {}

    def hook(self, kind: type[Hook], connection: str, subscription: str) -> Hook:
        """Return the hook of a login, which refuses to write."""
        key = (kind, connection, subscription)
        if key not in self._hooks:
            self._hooks[key] = self.enter_context(kind(connection, subscription, read_only=True))
        hook = self._hooks[key]
        assert isinstance(hook, kind)
        return hook

    def ask(self, look: Look, about: str, question: Callable[[], Answer]) -> Answer | None:
        """Return the answer, from Azure or from before; None where Azure did not give it."""
        key = look.of(about)
        if key not in self.asked:
            try:
                self.asked[key] = question()
            except GoldenPoolsError as error:
                self.asked[key] = None
                self.failures[key] = error
        answer: Answer | None = self.asked[key]
        return answer

    @property
    def lacks_versions(self) -> bool:
        """Whether a part of what :meth:`versions` asks for could not be read."""
        of_versions = tuple(look.of("") for look in (Look.GALLERIES, Look.DEFINITIONS, Look.VERSIONS))
        return any(key.startswith(of_versions) for key in self.failures)

    def in_group(self, connection: str, subscription: str, group: str) -> dict[Look, tuple[Any, ...]]:
        """Return what lies in a resource group, by kind; a kind that cannot be listed is missing.

        :param group: its name
        """
        hook = self.hook(InventoryHook, connection, subscription)
        about = f"/subscriptions/{subscription}/resourceGroups/{group}"
        kinds: dict[Look, Callable[[str], list[Any]]] = {
            Look.SNAPSHOTS: hook.snapshots,
            Look.MANAGED_IMAGES: hook.managed_images,
            Look.VMS: hook.vms,
            Look.DISKS: hook.disks,
            Look.NETWORK_CARDS: hook.network_cards,
            Look.RESTORE_POINTS: hook.restore_points,
        }
        listed = {look: self.ask(look, about, partial(kind, group)) for look, kind in kinds.items()}
        return {look: tuple(items) for look, items in listed.items() if items is not None}

    def versions(
        self, connection: str, subscription: str, named: Iterable[str] = ()
    ) -> dict[str, tuple[ImageVersion, ...]]:
        """Return the versions of every gallery that the login sees in a subscription, by folded id of the definition.

        :param named: ids of definitions that are asked for in any case; one that is not there has no versions
        """
        hook = self.hook(InventoryHook, connection, subscription)
        definitions = {folded(definition): definition for definition in named}
        for gallery in self.ask(Look.GALLERIES, f"{subscription} by {connection}", hook.galleries) or ():
            for definition in self.ask(Look.DEFINITIONS, gallery, partial(hook.definitions, gallery)) or ():
                definitions.setdefault(folded(definition), definition)
        listed = {
            key: self.ask(Look.VERSIONS, definition, partial(hook.versions, definition))
            for key, definition in definitions.items()
        }
        return {key: tuple(versions) for key, versions in listed.items() if versions is not None}
