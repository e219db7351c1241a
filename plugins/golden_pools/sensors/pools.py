"""Wait until a Batch pool has enough nodes that take work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from golden_pools.errors import from_dict
from golden_pools.operators.base import GRACE, now

if TYPE_CHECKING:
    from airflow.sdk import Context


class PoolNodesSensor(BaseSensorOperator):
    """Wait until a pool has its ready nodes: ``idle`` or ``running``, not only allocated.

    It always defers, and shares one poll with everything else that waits for a pool of the same Batch account.

    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :param pool_name: id of the Batch pool (``pool`` is Airflow's own word for something else)
    :param dedicated: dedicated nodes wanted (templated: a number or its text)
    :param spot: Spot nodes wanted (templated likewise)
    :param share: share of both that is enough, above 0, at most 1
    :param timeout_minutes: longest wait; this, and not Airflow's ``timeout``, ends the wait with a cause
    :raises ResizeGaveUpError: nodes failed, or too few were ready in time
    """

    template_fields = ("connection", "subscription", "resource_group", "account", "pool_name", "dedicated", "spot")
    ui_color = "#e3f1ee"

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
        share: float = 1.0,
        timeout_minutes: int = 30,
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
        self.timeout_minutes = timeout_minutes

    def execute(self, context: Context) -> None:
        """Defer: the first look is the next shared poll."""
        from golden_pools.triggers.pool import NodesTrigger

        started, allowed = now(), timedelta(minutes=self.timeout_minutes)
        self.defer(
            trigger=NodesTrigger(
                connection=self.connection,
                subscription=self.subscription,
                resource_group=self.resource_group,
                account=self.account,
                pool=self.pool_name,
                dedicated=int(self.dedicated),
                spot=int(self.spot),
                share=self.share,
                started=started.isoformat(),
                deadline=(started + allowed).isoformat(),
            ),
            method_name="resume",
            timeout=allowed + GRACE,
        )

    def resume(self, context: Context, event: Mapping[str, Any] | None = None) -> None:
        """Raise what the trigger found: a wait that ends well never comes here."""
        if event and "failure" in event:
            raise from_dict(event["failure"])
