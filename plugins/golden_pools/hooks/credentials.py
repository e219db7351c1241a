"""Credentials from azure-identity, synchronous and asynchronous twins.

Which one follows from what the connection holds: client secret, workload identity, managed identity, else the chain of
``DefaultAzureCredential`` (environment, workload identity, managed identity, Azure CLI login ...).
"""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.credentials_async import AsyncTokenCredential

    from golden_pools.hooks.connection import AzureConnection

# azure-identity tells every token and every request of a login at INFO, where the task's own story belongs.
_azure_log = logging.getLogger("azure")
if _azure_log.level == logging.NOTSET:
    _azure_log.setLevel(logging.WARNING)


def credential(connection: AzureConnection) -> TokenCredential:
    """Return the credential of a synchronous client; no token is fetched yet."""
    import azure.identity

    return _make(azure.identity, connection)


def async_credential(connection: AzureConnection) -> AsyncTokenCredential:
    """Return the credential of an asynchronous client; no token is fetched yet."""
    import azure.identity.aio

    return _make(azure.identity.aio, connection)


def _make(kinds: ModuleType, connection: AzureConnection) -> Any:
    options: dict[str, Any] = {"authority": connection.login_endpoint}
    if connection.login_is_overridden:
        # Only the clouds' own logins can be looked up; asking for another one would go to the public cloud.
        options["disable_instance_discovery"] = True
    if connection.ca_bundle:
        options["connection_verify"] = connection.ca_bundle
    identity, tenant = connection.managed_identity_client_id, connection.workload_identity_tenant_id
    token_file = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
    if connection.client_secret:
        return kinds.ClientSecretCredential(
            tenant_id=connection.tenant_id,
            client_id=connection.client_id,
            client_secret=connection.client_secret,
            **options,
        )
    if identity and tenant and token_file:
        return kinds.WorkloadIdentityCredential(
            tenant_id=tenant, client_id=identity, token_file_path=token_file, **options
        )
    if identity:
        return kinds.ManagedIdentityCredential(client_id=identity)
    return kinds.DefaultAzureCredential(**options)
