"""What a look asks Azure: a few reads through one login. The Azure SDKs are imported when the first is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from golden_pools.rules.board import progress
from golden_pools.rules.board.facts import Look
from golden_pools.rules.board.looks import pools_seen, versions_seen
from golden_pools.rules.facts import folded
from golden_pools.rules.plan import account_id
from golden_pools.ui.specs import current_specs

if TYPE_CHECKING:
    from golden_pools.hooks.connection import AzureConnection
    from golden_pools.ui.looks import Unit
    from golden_pools.ui.shelf import Shared


class Glances:
    """Opens logins."""

    @contextmanager
    def through(self, connection: str, subscription: str) -> Iterator[Glance]:
        """Look through one login; its clients are closed afterwards."""
        with ExitStack() as stack:
            yield Glance(connection, subscription, stack)


class Glance:
    """The looks through one login; its hooks refuse to write."""

    def __init__(self, connection: str, subscription: str, stack: ExitStack) -> None:
        self._login = (connection, subscription)
        self._stack = stack
        self._hooks: dict[type, Any] = {}

    def look(self, unit: Unit, shared: Shared) -> Look:
        """Return what is seen now.

        :raises GoldenPoolsError: Azure does not say, or the connection is wrong
        """
        from golden_pools.ui.looks import Kind

        connection = self._connection
        match unit.kind:
            case Kind.ACCOUNT:
                data = self._account(unit)
            case Kind.IMAGE:
                data = self._image(unit)
            case Kind.RUN:
                data = self._run(unit, shared)
        shows = connection.portal_url(unit.about) is not None
        return Look(
            at=datetime.now(tz=UTC),
            portal={"cloud": connection.cloud.name, "tenant": connection.tenant_id} if shows else None,
            poll_seconds=connection.poll_seconds,
            data=data,
        )

    @cached_property
    def _connection(self) -> AzureConnection:
        from golden_pools.hooks.connection import AzureConnection

        return AzureConnection.get(self._login[0])

    def _hook(self, kind: type[Any]) -> Any:
        if kind not in self._hooks:
            made = kind(*self._login, read_only=True, connection=self._connection)
            self._hooks[kind] = self._stack.enter_context(made)
        return self._hooks[kind]

    def _account(self, unit: Unit) -> dict[str, Any]:
        """Look at all pools of an account and count their nodes: two requests, and one page more per 1,000 pools."""
        from golden_pools.hooks.batch import BatchHook

        specs = {
            pool: spec
            for pool, spec in current_specs().specs.items()
            if spec.connection == unit.connection and folded(account_id(spec)) == folded(unit.about)
        }
        if not specs:  # the files have changed meanwhile
            return {}
        where = next(iter(specs.values())).pool
        hook = self._hook(BatchHook)
        pools = hook.pools(where.resource_group, where.account)
        nodes = hook.node_counts(where.resource_group, where.account)
        return pools_seen(specs, pools, nodes)

    def _image(self, unit: Unit) -> dict[str, Any]:
        """List the versions of a definition: one request."""
        from golden_pools.hooks.inventory import InventoryHook

        return versions_seen(unit.about, self._hook(InventoryHook).versions(unit.about))

    def _run(self, unit: Unit, shared: Shared) -> dict[str, Any]:
        """Look at what a run is making: a request for its snapshots or its version, and none for its nodes."""
        from golden_pools.ui.looks import read

        run = unit.run
        assert run is not None, "such a unit is about a run"
        plan, found = progress.plan_of(run), []
        if plan is not None and progress.is_at(run, progress.SNAPSHOT_STAGES):
            from golden_pools.hooks.inventory import InventoryHook

            found += progress.of_snapshots(plan.stem, self._hook(InventoryHook).snapshots(plan.image_group))
        if plan is not None and plan.is_versioned and progress.is_at(run, progress.VERSION_STAGES):
            from golden_pools.hooks.compute import ComputeHook

            found += progress.of_version(self._hook(ComputeHook).image_version(plan.version_id))
        account = next((read(shared[key]) for key in unit.also if key in shared), None)
        return progress.seen_of_run(unit.about, run, found, account=account, before=read(shared.get(unit.key)))
