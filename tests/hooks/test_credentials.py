"""Which credential follows from a connection; no token is fetched here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import azure.identity
import azure.identity.aio
import pytest
from golden_pools.hooks.connection import AzureConnection
from golden_pools.hooks.credentials import async_credential, credential

KINDS = [(azure.identity, credential), (azure.identity.aio, async_credential)]
TWINS = pytest.mark.parametrize(("kinds", "make"), KINDS, ids=["sync", "aio"])
NAMES = ("ClientSecretCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential", "DefaultAzureCredential")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every credential that is made: class name and arguments."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def spy(name: str) -> Any:
        return lambda **options: calls.append((name, options))

    for kinds, _ in KINDS:
        for name in NAMES:
            monkeypatch.setattr(kinds, name, spy(name))
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    return calls


@TWINS
def test_client_id_secret_and_tenant_are_a_service_principal(kinds: Any, make: Any, made: list[Any]) -> None:
    make(AzureConnection.parse("c", login="id", password="secret", extra={"tenantId": "t"}))
    assert made == [
        (
            "ClientSecretCredential",
            {
                "tenant_id": "t",
                "client_id": "id",
                "client_secret": "secret",
                "authority": "https://login.microsoftonline.com",
            },
        )
    ]


@TWINS
def test_managed_identity_client_id_alone_is_enough(kinds: Any, make: Any, made: list[Any]) -> None:
    make(AzureConnection.parse("c", extra={"managed_identity_client_id": "m"}))
    assert made == [("ManagedIdentityCredential", {"client_id": "m"})]


@TWINS
def test_tenant_identity_and_token_file_are_a_workload_identity(
    kinds: Any, make: Any, made: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token")
    make(AzureConnection.parse("c", extra={"managed_identity_client_id": "m", "workload_identity_tenant_id": "w"}))
    [(name, options)] = made
    assert name == "WorkloadIdentityCredential"
    assert (options["tenant_id"], options["client_id"], options["token_file_path"]) == ("w", "m", "/var/run/token")


@TWINS
def test_without_a_token_file_the_identity_is_a_managed_one(kinds: Any, make: Any, made: list[Any]) -> None:
    make(AzureConnection.parse("c", extra={"managed_identity_client_id": "m", "workload_identity_tenant_id": "w"}))
    assert made == [("ManagedIdentityCredential", {"client_id": "m"})]


@TWINS
def test_nothing_at_all_is_the_default_chain_of_the_right_cloud(kinds: Any, make: Any, made: list[Any]) -> None:
    make(AzureConnection.parse("c", extra={"cloud_environment": "AzureChinaCloud"}))
    assert made == [("DefaultAzureCredential", {"authority": "https://login.chinacloudapi.cn"})]


@TWINS
def test_another_login_is_not_looked_up_in_the_public_cloud(kinds: Any, make: Any, made: list[Any]) -> None:
    extra = {"tenantId": "t", "login_endpoint": "https://localhost:8443"}
    make(AzureConnection.parse("c", login="id", password="secret", extra=extra))
    [(_, options)] = made
    assert (options["authority"], options["disable_instance_discovery"]) == ("https://localhost:8443", True)


@TWINS
def test_a_ca_bundle_is_used_for_the_login_too(kinds: Any, make: Any, made: list[Any], tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    make(AzureConnection.parse("c", extra={"ca_bundle": str(bundle)}))
    assert made[0][1]["connection_verify"] == str(bundle)


@pytest.mark.parametrize(
    "extra",
    [
        {"tenantId": "11111111-1111-1111-1111-111111111111", "login_endpoint": "https://localhost:8443"},
        {"tenantId": "11111111-1111-1111-1111-111111111111", "cloud_environment": "AzureUSGovernment"},
    ],
)
@TWINS
def test_azure_identity_takes_the_arguments(kinds: Any, make: Any, extra: dict[str, str]) -> None:
    made = make(AzureConnection.parse("c", login="id", password="secret", extra=extra))
    assert isinstance(made, kinds.ClientSecretCredential)
