"""All Batch accounts of the simulated world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.batch.errors import BatchServiceError
from include.azure_simulator.batch.nodes import NodeState
from include.azure_simulator.batch.pool_writes import seed_pool
from include.azure_simulator.batch.pools import Pool
from include.azure_simulator.batch.scripts import CommandScript, IncidentScript, ResizeScript
from include.azure_simulator.batch.section import AccountSection, BatchSection
from include.azure_simulator.compute.sizes import SPOT_CORES
from include.azure_simulator.errors import ArmError
from include.azure_simulator.resources import JsonObject, normalise_region

if TYPE_CHECKING:
    from include.azure_simulator.world import World


class BatchWorld:
    """The Batch accounts, by lower-case name: account names are unique in a region, here in the world.

    :param section: what exists at the beginning.
    """

    def __init__(self, section: BatchSection, world: World) -> None:
        self._world = world
        self.section = section
        self.accounts: dict[str, BatchAccount] = {}
        for facts in section.accounts:
            account = self.add_account(facts)
            for pool in facts.pools:
                seed_pool(account, pool, world.clock.now())

    @classmethod
    def from_section(cls, section: Mapping[str, JsonValue], world: World) -> BatchWorld:
        """The Batch part of a world file.

        :raises pydantic.ValidationError: when the section is not valid.
        """
        return cls(BatchSection.model_validate(dict(section)), world)

    def add_account(self, facts: AccountSection) -> BatchAccount:
        """Add an account, or change one of the same name and keep what is in it."""
        existing = self.accounts.get(facts.name.lower())
        if existing is not None:
            existing.facts = facts
            return existing
        account = BatchAccount(self._world, facts, tuple(self.section.supported_images))
        self.accounts[facts.name.lower()] = account
        return account

    def settle(self, now: datetime) -> None:
        """Bring all accounts to ``now``."""
        for account in self.accounts.values():
            account.settle(now)

    def first_account_name(self) -> str | None:
        """The account that answers at the root of the data plane, if there is any."""
        return next((account.name for account in self.accounts.values()), None)

    def account(self, name: str | None) -> BatchAccount | None:
        """The account with this name, ignoring case; without a name the first one."""
        key = name if name is not None else self.first_account_name()
        return self.accounts.get((key or "").lower())

    def in_subscription(self, subscription: str, group: str | None = None) -> list[BatchAccount]:
        """The accounts of a subscription, or of one of its resource groups."""
        return [
            account
            for account in self.accounts.values()
            if account.facts.subscription.lower() == subscription.lower()
            and (group is None or account.facts.resource_group.lower() == group.lower())
        ]

    def in_region(self, location: str) -> list[BatchAccount]:
        """The accounts of a region."""
        return [account for account in self.accounts.values() if account.location == normalise_region(location)]

    def subscription_cores(self, subscription: str, location: str, besides: Pool | None = None) -> Counter[str]:
        """Cores that nodes use in a subscription itself, named as Compute's usages name them.

        Only accounts in user-subscription mode have their nodes there.
        """
        used: Counter[str] = Counter()
        for account in self.in_subscription(subscription):
            if not account.user_subscription or account.location != normalise_region(location):
                continue
            for pool in account.pools.values():
                size = account.vm_size(pool.spec.vm_size)
                if pool is besides or size is None:
                    continue
                for name in ("cores", size.family):
                    used[name] += size.vcpus * pool.reserved(dedicated=True)
                used[SPOT_CORES] += size.vcpus * pool.reserved(dedicated=False)
        return used

    def uses_image(self, resource_id: str) -> bool:
        """Whether nodes are being provisioned from an image now: it cannot be deleted then (gallery article)."""
        now = self._world.clock.now()
        self.settle(now)
        wanted = resource_id.lower()
        return any(
            str(node.image.get("id", "")).lower() == wanted and node.state(now) is NodeState.CREATING
            for account in self.accounts.values()
            for pool in account.pools.values()
            for node in pool.nodes
        )

    def script_allocation(self, document: Mapping[str, JsonValue]) -> JsonObject:
        """Script the next resizes of pools, or let something happen to their nodes; see :mod:`.scripts` for the JSON.

        :returns: what was understood, and with an incident the number of nodes that it hit.
        :raises pydantic.ValidationError: for a document that is not valid.
        :raises ArmError: 404 for an account or pool that does not exist.
        """
        now = self._world.clock.now()
        self.settle(now)
        if "incident" in document:
            incident = IncidentScript.model_validate(dict(document))
            try:
                hit = self._required_account(incident.account).apply_incident(incident, now)
            except BatchServiceError as error:
                raise error.as_arm() from error
            return {**incident.to_json(), "nodes_hit": hit}
        script = ResizeScript.model_validate(dict(document))
        self._required_account(script.account).resize_scripts.add(script, script.resizes)
        return script.to_json()

    def script_command(self, document: Mapping[str, JsonValue]) -> JsonObject:
        """Script what the next commands on nodes come to; see :mod:`.scripts` for the JSON.

        :returns: what was understood.
        :raises pydantic.ValidationError: for a document that is not valid.
        :raises ArmError: 404 for an account that does not exist.
        """
        self.settle(self._world.clock.now())
        script = CommandScript.model_validate(dict(document))
        self._required_account(script.account).commands.scripts.add(script, script.count)
        return script.to_json()

    def allocation_scripts(self) -> list[JsonObject]:
        """The scripts that wait for resizes, and how many resizes each is left for."""
        return [script for account in self.accounts.values() for script in account.resize_scripts.to_json()]

    def command_scripts(self) -> list[JsonObject]:
        """The scripts that wait for commands, and how many commands each is left for."""
        return [script for account in self.accounts.values() for script in account.commands.scripts.to_json()]

    def clear_allocation_scripts(self) -> None:
        """Forget the scripts that wait for resizes."""
        for account in self.accounts.values():
            account.resize_scripts.clear()

    def clear_command_scripts(self) -> None:
        """Forget the scripts that wait for commands."""
        self.settle(self._world.clock.now())
        for account in self.accounts.values():
            account.commands.scripts.clear()

    def _required_account(self, name: str | None) -> BatchAccount:
        if (found := self.account(name)) is None:
            raise ArmError(404, "ResourceNotFound", f"There is no Batch account '{name or ''}'.")
        return found
