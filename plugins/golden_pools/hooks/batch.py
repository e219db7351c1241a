"""Microsoft.Batch: accounts and pools through ARM, nodes and supported images through the data plane.

Every write of a pool that is there carries its ETag: who lost the race gets :class:`ConflictError`, and nothing is
overwritten. Bodies hold only what changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from golden_pools.errors import AzureRefusedError, ConflictError
from golden_pools.hooks import batch_facts
from golden_pools.hooks.azure import AsyncAzureHook, AzureHook
from golden_pools.hooks.batch_facts import PoolSettings
from golden_pools.hooks.failures import azure_errors, code_of, has_advice, is_absent
from golden_pools.rules import facts
from golden_pools.spec.model import Deallocation, Targets

__all__ = ["AsyncBatchHook", "BatchHook", "PoolSettings"]

POLLED_FIELDS = ",".join(
    f"properties/{name}"
    for name in (
        "provisioningState",
        "allocationState",
        "currentDedicatedNodes",
        "currentLowPriorityNodes",
        "scaleSettings",
        "resizeOperationStatus",
        "vmSize",
        "deploymentConfiguration",
        "lastModified",
        "metadata",
    )
)
"""What a wait looks at; start tasks, networks and the like of a hundred pools stay where they are."""

NO_NODES = Targets()


class _Batch:
    """Ids and endpoints, shared by both hooks."""

    subscription: str

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._endpoints: dict[str, str] = {}

    def _id(self, group: str, account: str, pool: str | None = None) -> str:
        account_id = (
            f"/subscriptions/{self.subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.Batch/batchAccounts/{account}"
        )
        return f"{account_id}/pools/{pool}" if pool else account_id


class BatchHook(_Batch, AzureHook):
    """What a run reads and changes in Batch.

    Every method raises :class:`AzureRefusedError`, :class:`AzureBusyError` or, where a condition of ours was not met,
    :class:`ConflictError`, with what Azure answered.
    """

    def account(self, group: str, account: str) -> facts.BatchAccount:
        """Return the Batch account with its quotas."""
        with azure_errors("Could not read the Batch account", self._id(group, account)):
            found = self.batch_client().batch_account.get(group, account).as_dict()
        return batch_facts.account(found)

    def pool(self, group: str, account: str, pool: str) -> facts.Pool | None:
        """Return a pool, or None where there is none."""
        with azure_errors("Could not read the pool", self._id(group, account, pool)):
            try:
                found = self.batch_client().pool.get(group, account, pool).as_dict()
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return None
        return batch_facts.pool(found)

    def pools(self, group: str, account: str) -> list[facts.Pool]:
        """Return all pools of an account."""
        with azure_errors("Could not list the pools", self._id(group, account)):
            return [
                batch_facts.pool(pool.as_dict())
                for pool in self.batch_client().pool.list_by_batch_account(group, account)
            ]

    def create_pool(
        self,
        group: str,
        account: str,
        pool: str,
        settings: PoolSettings,
        *,
        targets: Targets = NO_NODES,
        timeout: timedelta | None = None,
    ) -> facts.Pool:
        """Make a pool, without nodes if not told otherwise; a pool that is there is never touched.

        :param timeout: time for its first resize; Batch's default of 15 minutes if absent
        :raises ConflictError: there is a pool of this name already
        """
        resource = self._id(group, account, pool)
        try:
            with azure_errors("Could not make the pool", resource):
                made = self.batch_client().pool.create(
                    group, account, pool, settings.new_pool(targets, timeout), match_condition=MatchConditions.IfMissing
                )
        except AzureRefusedError as refused:
            # Whether Batch says 409 or 412 for "exists already" is not documented.
            if refused.status != 409 or has_advice(refused.code):
                raise
            raise ConflictError(
                "Could not make the pool: there is one already",
                resource=resource,
                answer=refused.answer,
                advice="look at who made it; start again to adopt it",
            ) from refused
        return batch_facts.pool(made.as_dict())

    def resize_pool(
        self,
        group: str,
        account: str,
        pool: str,
        *,
        dedicated: int,
        spot: int,
        timeout: timedelta,
        etag: str,
        deallocation: Deallocation | None = None,
    ) -> facts.Pool:
        """Order a resize; return the pool as Azure answers, whose ``resize_started`` is that of this resize.

        A pool that scales by formula gets fixed targets by this.

        :param timeout: time for this attempt, at least 5 minutes, whole minutes
        :param etag: of the pool as it was judged
        :param deallocation: what happens to running tasks when the pool shrinks
        """
        scale = batch_facts.fixed_scale(dedicated=dedicated, spot=spot, timeout=timeout, deallocation=deallocation)
        return self._patch(
            "Could not resize the pool", group, account, pool, {"properties": {"scaleSettings": scale}}, etag
        )

    def stop_resize(self, group: str, account: str, pool: str, *, etag: str) -> facts.Pool:
        """Stop the resize that is going on; the pool is ``Stopping`` for a while and keeps the nodes that it has.

        A pool that is not resizing (any more) is returned as it is.

        :param etag: of the pool as it was judged: ARM's call has no condition, so it is compared just before
        :raises ConflictError: the pool has changed since, and resizes
        """
        resource = self._id(group, account, pool)
        there = self.pool(group, account, pool)
        if there is not None and there.allocation_state is not facts.AllocationState.RESIZING:
            return there
        if there is None or there.etag != etag:
            raise ConflictError(
                "Could not stop the resize: the pool has changed meanwhile",
                resource=resource,
                advice="look at who changed it; clear the task, and it looks at the pool again",
            )
        with azure_errors("Could not stop the resize", resource):
            stopped = self.batch_client().pool.stop_resize(group, account, pool)
        return batch_facts.pool(stopped.as_dict())

    def disable_autoscale(self, group: str, account: str, pool: str) -> facts.Pool:
        """Let the pool keep the size that it has, whatever its formula says."""
        with azure_errors("Could not switch autoscale off", self._id(group, account, pool)):
            fixed = self.batch_client().pool.disable_auto_scale(group, account, pool)
        return batch_facts.pool(fixed.as_dict())

    def delete_pool(self, group: str, account: str, pool: str) -> None:
        """Begin to delete a pool; one that is gone or going is left alone.

        The id is free, and jobs that are bound to it find no pool, when :meth:`pool` returns None.
        """
        with azure_errors("Could not delete the pool", self._id(group, account, pool)):
            try:
                self.batch_client().pool.begin_delete(group, account, pool, polling=False)
            except HttpResponseError as error:
                if not is_absent(error) and code_of(error) != "PoolBeingDeleted":
                    raise

    def set_metadata(
        self, group: str, account: str, pool: str, metadata: Mapping[str, str], *, etag: str
    ) -> facts.Pool:
        """Replace all metadata of a pool, which Batch takes with nodes in the pool.

        :param etag: of the pool as it was judged
        """
        pairs = [{"name": name, "value": value} for name, value in metadata.items()]
        body = {"properties": {"metadata": pairs}}
        return self._patch("Could not change the pool's metadata", group, account, pool, body, etag)

    def update_vm_size(self, group: str, account: str, pool: str, vm_size: str, *, etag: str) -> facts.Pool:
        """Give a pool without nodes another VM size.

        :raises AzureRefusedError: ``PropertyCannotBeUpdated``: the pool has nodes or is not steady
        """
        body = {"properties": {"vmSize": vm_size}}
        return self._patch("Could not change the pool's VM size", group, account, pool, body, etag)

    def update_pool_image(
        self, group: str, account: str, pool: str, settings: PoolSettings, *, etag: str
    ) -> facts.Pool:
        """Put a pool without nodes on another image, with everything else that needs an empty pool.

        :raises AzureRefusedError: ``PropertyCannotBeUpdated``: the pool has nodes or is not steady
        """
        body = settings.empty_pool(self._json(group, account, pool))
        return self._patch("Could not change the pool's image", group, account, pool, body, etag)

    def update_pool_settings(
        self, group: str, account: str, pool: str, settings: PoolSettings, *, etag: str
    ) -> facts.Pool:
        """Set metadata and start task, which Batch takes with nodes in the pool.

        Nodes that are there see a new start task at their next start.
        """
        body = settings.any_pool(self._json(group, account, pool))
        return self._patch("Could not change the pool's settings", group, account, pool, body, etag)

    def vm_sizes(self, location: str) -> dict[str, facts.VmSize]:
        """Return the VM sizes that Batch supports in a region, by lower-case name."""
        with azure_errors("Could not list Batch's VM sizes", location):
            skus = self.batch_client().location.list_supported_virtual_machine_skus(location)
            return {sku.name.lower(): batch_facts.supported_size(sku.as_dict()) for sku in skus}

    def supported_images(self, group: str, account: str) -> list[facts.SupportedImage]:
        """Return the base images that Batch's node agents support."""
        with azure_errors("Could not list the supported images", self._id(group, account)):
            images = self._data_plane(group, account).list_supported_images()
            return [batch_facts.supported_image(image.as_dict()) for image in images]

    def node_counts(self, group: str, account: str) -> dict[str, facts.PoolNodes]:
        """Return the node counts of all pools of an account, by pool name as Azure spells it."""
        with azure_errors("Could not count the nodes", self._id(group, account)):
            counts = self._data_plane(group, account).list_pool_node_counts()
            return {count.pool_id: batch_facts.pool_nodes(count.as_dict()) for count in counts}

    def _data_plane(self, group: str, account: str) -> Any:
        key = f"{group}/{account}".lower()
        if key not in self._endpoints:
            known = "" if self.connection.batch_endpoint else self.account(group, account).endpoint
            self._endpoints[key] = self.connection.data_plane(account, known)
        return self.data_plane_client(self._endpoints[key])

    def _json(self, group: str, account: str, pool: str) -> dict[str, Any]:
        with azure_errors("Could not read the pool", self._id(group, account, pool)):
            found: dict[str, Any] = self.batch_client().pool.get(group, account, pool).as_dict()
        return found

    def _patch(self, what: str, group: str, account: str, pool: str, body: dict[str, Any], etag: str) -> facts.Pool:
        with azure_errors(what, self._id(group, account, pool)):
            changed = self.batch_client().pool.update(
                group,
                account,
                pool,
                body,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            )
        return batch_facts.pool(changed.as_dict())


class AsyncBatchHook(_Batch, AsyncAzureHook):
    """What the shared poll of an account asks: two calls, however many pools and tasks wait."""

    async def pools(self, group: str, account: str) -> list[facts.Pool]:
        """Return all pools of an account with what a wait looks at (:data:`POLLED_FIELDS`)."""
        with azure_errors("Could not list the pools", self._id(group, account)):
            client = await self.batch_client()
            pools = client.pool.list_by_batch_account(group, account, select=POLLED_FIELDS)
            return [batch_facts.pool(pool.as_dict()) async for pool in pools]

    async def node_counts(self, group: str, account: str) -> dict[str, facts.PoolNodes]:
        """Return the node counts of all pools of an account, by pool name as Azure spells it."""
        with azure_errors("Could not count the nodes", self._id(group, account)):
            client = await self._data_plane(group, account)
            return {
                count.pool_id: batch_facts.pool_nodes(count.as_dict()) async for count in client.list_pool_node_counts()
            }

    async def _data_plane(self, group: str, account: str) -> Any:
        connection = await self.connection()
        key = f"{group}/{account}".lower()
        if key not in self._endpoints:
            known = ""
            if not connection.batch_endpoint:
                client = await self.batch_client()
                known = batch_facts.account((await client.batch_account.get(group, account)).as_dict()).endpoint
            self._endpoints[key] = connection.data_plane(account, known)
        return await self.data_plane_client(self._endpoints[key])
