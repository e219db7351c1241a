"""The one place that builds Azure clients: from an Airflow connection, for one subscription, lazily.

Importing this module costs nothing; a client's SDK is imported when the client is first asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from golden_pools.hooks.connection import AzureConnection

if TYPE_CHECKING:
    from azure.batch import BatchClient
    from azure.batch.aio import BatchClient as AsyncBatchClient
    from azure.mgmt.batch import BatchManagementClient
    from azure.mgmt.batch.aio import BatchManagementClient as AsyncBatchManagementClient
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.core import ARMPipelineClient, AsyncARMPipelineClient

ARM_REQUEST_ID = "x-ms-client-request-id"
BATCH_REQUEST_ID = "client-request-id"

SDK_PARSER = "azure.batch._utils.model_base"
"""The Batch SDK's logger that warns, with a traceback, of every refusal without JSON in it, as all of a HEAD are."""


class _Clients:
    """What the synchronous and the asynchronous hook share.

    :param conn_id: Airflow connection of type ``azure``
    :param subscription: subscription id
    :param read_only: refuse everything but GET and HEAD before it leaves (a plan-only run)
    :param connection: use this instead of reading ``conn_id``
    :param transport: makes the transport of each client; the SDK's own if absent
    """

    _asynchronous = False

    def __init__(
        self,
        conn_id: str,
        subscription: str,
        *,
        read_only: bool = False,
        connection: AzureConnection | None = None,
        transport: Callable[[], Any] | None = None,
    ) -> None:
        self.conn_id = conn_id
        self.subscription = subscription
        self.read_only = read_only
        self._given_connection = connection
        self._transport = transport
        self._clients: dict[str, Any] = {}
        self._credential: Any = None

    def _make_credential(self, connection: AzureConnection) -> Any:
        raise NotImplementedError

    def _options(
        self, connection: AzureConnection, endpoint: str, scope: str, request_id_header: str
    ) -> dict[str, Any]:
        """Return the keyword arguments that every client gets.

        Towards a plain-http simulator no credential object is made at all, so that no token can ever travel in clear.
        """
        from azure.core.pipeline.policies import SansIOHTTPPolicy
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, AsyncARMChallengeAuthenticationPolicy

        from golden_pools.hooks.pipeline import CONNECTION_SECONDS, READ_SECONDS, policies

        if connection.is_anonymous(endpoint):
            credential: Any = "none"  # the SDK wants something that is not None; with our own policies nothing reads it
            authentication = SansIOHTTPPolicy()
        else:
            if self._credential is None:
                self._credential = self._make_credential(connection)
            credential = self._credential
            policy = AsyncARMChallengeAuthenticationPolicy if self._asynchronous else ARMChallengeAuthenticationPolicy
            authentication = policy(credential, scope)
        options: dict[str, Any] = {
            "credential": credential,
            "authentication_policy": authentication,
            "policies": policies(
                authentication=authentication,
                read_only=self.read_only,
                asynchronous=self._asynchronous,
                request_id_header=request_id_header,
            ),
        }
        if self._transport is not None:
            options["transport"] = self._transport()
        else:
            options |= {"connection_timeout": CONNECTION_SECONDS, "read_timeout": READ_SECONDS}
            if connection.ca_bundle:
                options["connection_verify"] = connection.ca_bundle
        return options

    def _arm_options(self, connection: AzureConnection) -> dict[str, Any]:
        return self._options(connection, connection.arm_endpoint, connection.cloud.arm_scope, ARM_REQUEST_ID)

    def _data_plane_options(self, connection: AzureConnection, endpoint: str) -> dict[str, Any]:
        logging.getLogger(SDK_PARSER).setLevel(logging.ERROR)
        return self._options(connection, endpoint, connection.cloud.batch_scope, BATCH_REQUEST_ID)


class AzureHook(_Clients):
    """Synchronous clients of one subscription; close it, or use it as a context manager."""

    @cached_property
    def connection(self) -> AzureConnection:
        """The Airflow connection, read at first use."""
        return self._given_connection or AzureConnection.get(self.conn_id)

    def compute_client(self, subscription: str | None = None) -> ComputeManagementClient:
        """Return the client of Microsoft.Compute, of another subscription if one is named."""
        subscription = (subscription or self.subscription).lower()
        if (client := self._clients.get(key := f"compute {subscription}")) is None:
            from azure.mgmt.compute import ComputeManagementClient

            client = self._clients[key] = ComputeManagementClient(
                subscription_id=subscription,
                base_url=self.connection.arm_endpoint,
                **self._arm_options(self.connection),
            )
        return client

    def arm_client(self) -> ARMPipelineClient:
        """Return a bare ARM client, for the few calls to services whose SDK is not worth having."""
        if (client := self._clients.get("arm")) is None:
            from azure.mgmt.core import ARMPipelineClient

            client = self._clients["arm"] = ARMPipelineClient(
                self.connection.arm_endpoint, **self._arm_options(self.connection)
            )
        return client

    def batch_client(self) -> BatchManagementClient:
        """Return the client of Microsoft.Batch (accounts and pools)."""
        if (client := self._clients.get("batch")) is None:
            from azure.mgmt.batch import BatchManagementClient

            client = self._clients["batch"] = BatchManagementClient(
                subscription_id=self.subscription,
                base_url=self.connection.arm_endpoint,
                **self._arm_options(self.connection),
            )
        return client

    def data_plane_client(self, endpoint: str) -> BatchClient:
        """Return the client of a Batch account's data plane (nodes, jobs).

        :param endpoint: URL, from :meth:`AzureConnection.data_plane`
        """
        if (client := self._clients.get(endpoint)) is None:
            from azure.batch import BatchClient

            client = self._clients[endpoint] = BatchClient(
                endpoint, **self._data_plane_options(self.connection, endpoint)
            )
        return client

    def _make_credential(self, connection: AzureConnection) -> Any:
        from golden_pools.hooks.credentials import credential

        return credential(connection)

    def close(self) -> None:
        """Close clients and credential."""
        while self._clients:
            self._clients.popitem()[1].close()
        if self._credential is not None:
            self._credential.close()
            self._credential = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAzureHook(_Clients):
    """Asynchronous clients of one subscription for triggers; close it, or use it with ``async with``."""

    _asynchronous = True

    async def connection(self) -> AzureConnection:
        """Return the Airflow connection, read at first use."""
        if self._given_connection is None:
            self._given_connection = await AzureConnection.aget(self.conn_id)
        return self._given_connection

    async def arm_client(self) -> AsyncARMPipelineClient:
        """Return a bare ARM client.

        Triggers only read; azure-mgmt-compute would cost the triggerer 20 MB and 0.1 s of CPU, or 110 MB and 0.7 s
        where its bytecode cannot be cached.
        """
        if (client := self._clients.get("arm")) is None:
            from azure.mgmt.core import AsyncARMPipelineClient

            connection = await self.connection()
            client = self._clients["arm"] = AsyncARMPipelineClient(
                connection.arm_endpoint, **self._arm_options(connection)
            )
        return client

    async def batch_client(self) -> AsyncBatchManagementClient:
        """Return the client of Microsoft.Batch (accounts and pools)."""
        if (client := self._clients.get("batch")) is None:
            from azure.mgmt.batch.aio import BatchManagementClient

            connection = await self.connection()
            client = self._clients["batch"] = BatchManagementClient(
                subscription_id=self.subscription, base_url=connection.arm_endpoint, **self._arm_options(connection)
            )
        return client

    async def data_plane_client(self, endpoint: str) -> AsyncBatchClient:
        """Return the client of a Batch account's data plane; ``endpoint`` as in the synchronous twin."""
        if (client := self._clients.get(endpoint)) is None:
            from azure.batch.aio import BatchClient

            connection = await self.connection()
            client = self._clients[endpoint] = BatchClient(endpoint, **self._data_plane_options(connection, endpoint))
        return client

    def _make_credential(self, connection: AzureConnection) -> Any:
        from golden_pools.hooks.credentials import async_credential

        return async_credential(connection)

    async def close(self) -> None:
        """Close clients and credential."""
        while self._clients:
            await self._clients.popitem()[1].close()
        if self._credential is not None:
            await self._credential.close()
            self._credential = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
