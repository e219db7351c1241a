"""Wait until a Batch pool has enough nodes that take work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from golden_pools.errors import GoldenPoolsError, ResizeGaveUpError, from_dict
from golden_pools.links.portal import SensedPoolLink
from golden_pools.operators.bad_nodes import log_bad_nodes
from golden_pools.operators.base import GRACE, now
from golden_pools.rules.resize import SAMPLES

if TYPE_CHECKING:
    from airflow.sdk import Context


class PoolNodesSensor(BaseSensorOperator):
    """Wait until a pool has its ready nodes: ``idle`` or ``running``, not only allocated.

    It always defers, and shares one poll with everything else that waits for a pool of the same Batch account. Its XCom
    is ``{"pool": id, "dedicated": ready nodes, "spot": ready nodes}``; under the key ``samples`` stands what it saw, as
    :class:`~golden_pools.rules.resize.Curve` writes it.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :param pool_name: name of a pool's spec, or id of a Batch pool (``pool`` is Airflow's own word for something else).
        Of a spec's name each look finds the pool that it stands for then, so a switch in mid-wait is followed
    :param dedicated: dedicated nodes wanted
    :param spot: Spot nodes wanted
    :param share: share of the dedicated nodes that is enough, above 0, at most 1
    :param spot_share: the same of the Spot nodes; 0 succeeds without any
    :param grace_minutes: how long nodes may be ``unknown`` (without contact to Batch) until they count as failed
    :param timeout_minutes: longest wait; this, and not Airflow's ``timeout``, ends the wait with a cause

    All of them are templated; a number may be its text.

    :raises ResizeGaveUpError: nodes failed, or too few were ready in time
    """

    template_fields = (
        "connection",
        "subscription",
        "resource_group",
        "account",
        "pool_name",
        "dedicated",
        "spot",
        "share",
        "spot_share",
        "grace_minutes",
        "timeout_minutes",
    )
    ui_color = "#e3f1ee"
    operator_extra_links = (SensedPoolLink(),)

    def __init__(
        self,
        *,
        connection: str,
        subscription: str,
        resource_group: str,
        account: str,
        pool_name: str,
        dedicated: int | str = 0,
        spot: int | str = 0,
        share: float | str = 1.0,
        spot_share: float | str = 1.0,
        grace_minutes: int | str = 10,
        timeout_minutes: int | str = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.connection = connection
        self.subscription = subscription
        self.resource_group = resource_group
        self.account = account
        self.pool_name = pool_name
        self.dedicated = dedicated
        self.spot = spot
        self.share = share
        self.spot_share = spot_share
        self.grace_minutes = grace_minutes
        self.timeout_minutes = timeout_minutes

    def execute(self, context: Context) -> None:
        """Defer: the first look is the next shared poll."""
        from golden_pools.triggers.pool import NodesTrigger

        started, allowed = now(), timedelta(minutes=int(self.timeout_minutes))
        self.defer(
            trigger=NodesTrigger(
                connection=self.connection,
                subscription=self.subscription,
                resource_group=self.resource_group,
                account=self.account,
                pool=self.pool_name,
                dedicated=int(self.dedicated),
                spot=int(self.spot),
                share=float(self.share),
                spot_share=float(self.spot_share),
                grace_seconds=timedelta(minutes=int(self.grace_minutes)).total_seconds(),
                started=started.isoformat(),
                deadline=(started + allowed).isoformat(),
                samples=[],
            ),
            method_name="resume",
            timeout=allowed + GRACE,
        )

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Raise what the trigger found, with the nodes' own errors in the log: a good wait never comes here."""
        if event and SAMPLES in event:
            context["ti"].xcom_push(key=SAMPLES, value=event[SAMPLES])
        if event and "failure" in event:
            error = from_dict(event["failure"])
            if isinstance(error, ResizeGaveUpError):
                self._log_bad_nodes(error.resource.rpartition("/")[2] or self.pool_name)
            raise error

    def _log_bad_nodes(self, pool: str) -> None:
        from golden_pools.hooks.batch_work import BatchWorkHook

        group, account = self.resource_group, self.account
        try:
            with BatchWorkHook(self.connection, self.subscription, read_only=True) as hook:
                nodes = hook.nodes(group, account, pool, bad_only=True)
                log_bad_nodes(self.log, hook, group=group, account=account, pool=pool, nodes=nodes)
        except GoldenPoolsError as error:
            self.log.warning("The failed nodes could not be read: %s", error)
