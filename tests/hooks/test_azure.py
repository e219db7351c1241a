"""The clients: whom they ask, whether a token travels, how they are closed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from golden_pools.hooks.azure import AsyncAzureHook, AzureHook
from golden_pools.hooks.batch import AsyncBatchHook, BatchHook
from golden_pools.hooks.connection import AzureConnection

from .wire import SUBSCRIPTION, Answer, FakeAsyncCredential, FakeCredential, Wire

ACCOUNT = {
    "id": "/a",
    "name": "acc",
    "location": "westeurope",
    "properties": {"accountEndpoint": "acc.westeurope.batch.azure.com"},
}


@pytest.fixture
def credential(monkeypatch: pytest.MonkeyPatch) -> FakeCredential:
    fake = FakeCredential()
    monkeypatch.setattr("golden_pools.hooks.credentials.credential", lambda connection: fake)
    return fake


@pytest.fixture
def async_credential(monkeypatch: pytest.MonkeyPatch) -> FakeAsyncCredential:
    fake = FakeAsyncCredential()
    monkeypatch.setattr("golden_pools.hooks.credentials.async_credential", lambda connection: fake)
    return fake


@pytest.fixture
def no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: AzureConnection) -> None:
        raise AssertionError("a credential was made")

    monkeypatch.setattr("golden_pools.hooks.credentials.credential", refuse)
    monkeypatch.setattr("golden_pools.hooks.credentials.async_credential", refuse)


def hook(wire: Wire, **extra: object) -> BatchHook:
    connection = AzureConnection.parse("azure_default", extra=extra)
    return BatchHook("azure_default", SUBSCRIPTION, connection=connection, transport=wire.transport)


def async_hook(wire: Wire, **extra: object) -> AsyncBatchHook:
    connection = AzureConnection.parse("azure_default", extra=extra)
    return AsyncBatchHook("azure_default", SUBSCRIPTION, connection=connection, transport=wire.async_transport)


@pytest.mark.parametrize("cloud", ["AzurePublicCloud", "AzureUSGovernment", "AzureChinaCloud"])
def test_arm_and_data_plane_get_tokens_of_the_connections_cloud(
    wire: Wire, credential: FakeCredential, cloud: str
) -> None:
    batch = hook(wire, cloud_environment=cloud)
    wire.script(Answer(body=ACCOUNT), Answer(body={"value": []}))
    batch.node_counts("batch", "acc")
    expected = batch.connection.cloud
    arm, data_plane = wire.requests
    assert arm.url.startswith(f"{expected.arm}/subscriptions/{SUBSCRIPTION}/resourceGroups/batch/")
    assert arm.headers["Authorization"] == f"Bearer token for {expected.arm_scope}"
    assert data_plane.url.startswith("https://acc.westeurope.batch.azure.com/nodecounts")
    assert data_plane.headers["Authorization"] == f"Bearer token for {expected.batch_scope}"


@pytest.mark.parametrize("cloud", ["AzurePublicCloud", "AzureUSGovernment", "AzureChinaCloud"])
async def test_the_asynchronous_clients_get_the_same_tokens(
    wire: Wire, async_credential: FakeAsyncCredential, cloud: str
) -> None:
    batch = async_hook(wire, cloud_environment=cloud)
    wire.script(Answer(body=ACCOUNT), Answer(body={"value": []}))
    await batch.node_counts("batch", "acc")
    expected = (await batch.connection()).cloud
    tokens = [request.headers["Authorization"] for request in wire.requests]
    assert tokens == [f"Bearer token for {expected.arm_scope}", f"Bearer token for {expected.batch_scope}"]


@pytest.mark.usefixtures("no_credential")
def test_no_credential_is_made_and_no_token_sent_over_plain_http(wire: Wire) -> None:
    batch = hook(wire, arm_endpoint="http://localhost:8070")
    account = {**ACCOUNT, "properties": {"accountEndpoint": "localhost:8070"}}
    wire.script(Answer(body=account), Answer(body={"value": []}))
    batch.node_counts("batch", "acc")
    assert [request.headers.get("Authorization") for request in wire.requests] == [None, None]
    assert wire.requests[1].url.startswith("http://localhost:8070/nodecounts")


@pytest.mark.usefixtures("no_credential")
async def test_no_credential_is_made_over_plain_http_in_the_triggerer(wire: Wire) -> None:
    batch = async_hook(wire, arm_endpoint="http://localhost:8070", batch_endpoint="http://localhost:8070/{account}")
    wire.script(Answer(body={"value": []}))
    await batch.pools("batch", "acc")
    await batch.node_counts("batch", "acc")
    assert [request.headers.get("Authorization") for request in wire.requests] == [None, None]
    assert wire.requests[1].url.startswith("http://localhost:8070/acc/nodecounts")


def test_a_given_data_plane_needs_no_look_at_the_account(wire: Wire, credential: FakeCredential) -> None:
    wire.script(Answer(body={"value": []}))
    hook(wire, batch_endpoint="https://{account}.internal").node_counts("batch", "acc")
    assert [request.url.partition("?")[0] for request in wire.requests] == ["https://acc.internal/nodecounts"]


def test_the_accounts_endpoint_is_asked_once(wire: Wire, credential: FakeCredential) -> None:
    batch = hook(wire)
    wire.script(Answer(body=ACCOUNT), Answer(body={"value": []}))
    batch.node_counts("batch", "acc")
    batch.node_counts("BATCH", "acc")
    assert ["batchAccounts" in request.url for request in wire.requests] == [True, False, False]


def test_a_client_is_built_once_per_subscription(wire: Wire, credential: FakeCredential) -> None:
    azure = AzureHook("c", SUBSCRIPTION, connection=AzureConnection(conn_id="c"), transport=wire.transport)
    assert azure.compute_client() is azure.compute_client(SUBSCRIPTION.upper())
    assert azure.compute_client() is not azure.compute_client("22222222-2222-2222-2222-222222222222")


def test_closing_closes_clients_and_credential(wire: Wire, credential: FakeCredential) -> None:
    with AzureHook("c", SUBSCRIPTION, connection=AzureConnection(conn_id="c"), transport=wire.transport) as azure:
        azure.batch_client()
        azure.data_plane_client("https://acc.westeurope.batch.azure.com")
    assert (wire.closed, credential.closed) == (2, True)


async def test_closing_closes_the_asynchronous_ones_too(wire: Wire, async_credential: FakeAsyncCredential) -> None:
    connection = AzureConnection(conn_id="c")
    async with AsyncAzureHook("c", SUBSCRIPTION, connection=connection, transport=wire.async_transport) as azure:
        await azure.arm_client()
        await azure.batch_client()
        await azure.data_plane_client("https://acc.westeurope.batch.azure.com")
    assert (wire.closed, async_credential.closed) == (3, True)


def test_the_triggerer_never_loads_the_compute_sdk() -> None:
    """It would cost up to 110 MB for a process that only asks how operations are going."""
    code = (
        "import sys; import golden_pools.hooks.compute, golden_pools.hooks.batch;"
        "loaded = [name for name in ('azure.mgmt.compute', 'azure.mgmt.batch', 'azure.batch', 'azure.identity')"
        " if name in sys.modules]; assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": "plugins"})
