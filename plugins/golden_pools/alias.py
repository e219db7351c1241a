"""Which pool a spec stands for now: for tasks of other DAGs that bind work to it.

With ``blue_green`` the pool's id changes with every version; the spec's name, the alias, stays. Ask inside a task and
right before the work is bound to the pool, never at the top of a DAG file::

    from golden_pools.alias import current_pool

    @task
    def submit():
        pool = current_pool("render-farm", subscription="...", resource_group="batch", account="goldenbatch")
"""

from __future__ import annotations

from golden_pools.errors import AzureRefusedError
from golden_pools.rules import family


def current_pool(
    alias: str, *, connection: str = "azure_default", subscription: str, resource_group: str, account: str
) -> str:
    """Return the id of the Batch pool that an alias stands for now.

    :param alias: name of the pool's spec file; a pool's own id is taken as it is if no spec has that name
    :param connection: Airflow connection of type ``azure``
    :param subscription: subscription of the Batch account
    :param resource_group: resource group of the Batch account
    :param account: Batch account
    :raises AzureRefusedError: there is no such pool, or Azure refuses to list the account's pools
    :raises AzureBusyError: Azure does not answer: try again
    """
    from golden_pools.hooks.batch import BatchHook

    with BatchHook(connection, subscription, read_only=True) as hook:
        pools = hook.pools(resource_group, account)
    pool = family.pool_of(pools, alias)
    if pool is None:
        raise AzureRefusedError(
            "There is no pool of this name, and none that stands for it",
            resource=f"{account}/{alias}",
            advice="check the name; the first run of the pool's DAG makes the pool",
            code="PoolNotFound",
            status=404,
        )
    return pool.name
