"""Addresses of Azure resources in the Azure portal of their cloud."""

from __future__ import annotations

from urllib.parse import quote

PORTALS = {
    "AzurePublicCloud": "https://portal.azure.com",
    "AzureUSGovernment": "https://portal.azure.us",
    "AzureChinaCloud": "https://portal.azure.cn",
}
"""By the name of the cloud, as :class:`~golden_pools.hooks.connection.Cloud` spells it."""

ACCOUNTS = "/providers/microsoft.batch/batchaccounts/"


def portal_url(arm_id: str, cloud: str, tenant: str | None = None) -> str:
    """Return where the portal shows a resource, or a resource group.

    The form ``#resource/<ARM id>`` is the one that Azure's own alerts use (``portalLink`` of their payload). No such
    address of a Batch pool is known, so what stands below a Batch account leads to the account.

    :param cloud: a key of :data:`PORTALS`
    :param tenant: tenant id, for people who are at home in another one
    """
    parts = arm_id.rstrip("/").split("/")
    if ACCOUNTS in arm_id.lower():
        parts = parts[:9]
    directory = f"@{tenant}/" if tenant else ""
    return f"{PORTALS[cloud]}/#{directory}resource{quote('/'.join(parts), safe='/()')}"
