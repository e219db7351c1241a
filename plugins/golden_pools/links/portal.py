"""Links to the Azure portal: each to one thing of the run plan, in the portal of the connection's cloud.

Airflow asks for them on the worker whenever a task has run there, also when it only begins to wait; a task that ends in
the triggerer keeps those of its last time on a worker. Where there is nothing to show (no plan yet, a simulator) the
link is empty, which Airflow does not show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import GoldenPoolsError
from golden_pools.rules.restore_point import point_id

if TYPE_CHECKING:
    from golden_pools.rules.plan import RunPlan


class PortalLink(BaseOperatorLink):
    """A link of a stage that has a run plan."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, or nothing.

        :param operator: a :class:`~golden_pools.operators.base.StageOperator`
        :param ti_key: on a worker, Airflow's task instance
        """
        try:
            plan: RunPlan = operator.plan({"ti": ti_key})
        except AirflowSkipException:
            return ""
        return address(plan.spec.connection, self.resource(plan))

    def resource(self, plan: RunPlan) -> str | None:
        """Return the ARM id of what the link shows; None: the run has no such thing."""
        raise NotImplementedError


class GoldenVmLink(PortalLink):
    """The VM that is captured."""

    name = "Golden VM"

    def resource(self, plan: RunPlan) -> str | None:
        """Return the ARM id."""
        from golden_pools.rules.lineage.stations import vm_of  # draws, too: more than a DAG file wants to import

        return vm_of(plan.spec)


class CloneLink(PortalLink):
    """The throwaway VM that is generalized in the golden one's stead."""

    name = "Throwaway VM"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id."""
        return plan.clone_id


class RestorePointLink(PortalLink):
    """The restore point of the golden VM."""

    name = "Restore point"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id of its collection, which the portal has a page for."""
        return point_id(plan).partition("/restorePoints/")[0]


class SnapshotsLink(PortalLink):
    """Where the snapshots of all disks are."""

    name = "Resource group of the snapshots"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id."""
        return plan.snapshot_id(None).partition("/providers/")[0]


class ManagedImageLink(PortalLink):
    """The managed image between snapshots and version."""

    name = "Managed image"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id."""
        return plan.given_image_id or plan.managed_image_id


class ImageLink(PortalLink):
    """What the pool is to run on."""

    name = "Image version"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id; that of a managed image where the spec publishes no versions."""
        return plan.image_id


class BatchPoolLink(PortalLink):
    """The pool, or the canary, by its Batch account: see :func:`~golden_pools.rules.portal.portal_url`."""

    name = "Batch account of the pool"

    def resource(self, plan: RunPlan) -> str:
        """Return the ARM id."""
        return plan.pool_id


class SensedPoolLink(BaseOperatorLink):
    """The same for a sensor that has no run plan, by its own fields."""

    name = BatchPoolLink.name

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, or nothing.

        :param operator: a :class:`~golden_pools.sensors.pools.PoolNodesSensor` with its fields rendered
        """
        group = f"/subscriptions/{operator.subscription}/resourceGroups/{operator.resource_group}"
        return address(operator.connection, f"{group}/providers/Microsoft.Batch/batchAccounts/{operator.account}")


def address(connection: str, arm_id: str | None) -> str:
    """Return where the portal of a connection's cloud shows a resource, or nothing where it cannot."""
    from golden_pools.hooks.connection import AzureConnection

    try:
        return (AzureConnection.get(connection).portal_url(arm_id) if arm_id else None) or ""
    except GoldenPoolsError:  # the task itself says what is wrong with the connection
        return ""
