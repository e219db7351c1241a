"""Who may call the data plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.batch.auth import sign, string_to_sign
from include.azure_simulator.server import build_app
from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import API, reasons, refusal

TENANT_PATH = "/{tenant}/oauth2/v2.0/token"


@pytest.fixture
def secure(world: World) -> Iterator[TestClient]:
    """A client that calls over https, where credentials are needed."""
    with TestClient(build_app(world), base_url="https://localhost:8070") as client:
        yield client


@pytest.fixture
def account(world: World) -> BatchAccount:
    found = world.batch.account(None)
    assert found is not None
    return found


def _token(client: TestClient, world: World, scope: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": world.tenant.client_id,
        "client_secret": world.tenant.client_secret,
        "scope": scope,
    }
    token: str = client.post(TENANT_PATH.format(tenant=world.tenant.id), data=form).json()["access_token"]
    return token


def _signed(client: TestClient, key: str, name: str = "goldenbatch") -> Response:
    headers = {"ocp-date": "Sun, 22 Nov 2026 02:00:00 GMT"}
    text = string_to_sign("GET", "/pools", {"api-version": API}, headers, name)
    headers["authorization"] = f"SharedKey {name}:{sign(text, key)}"
    return client.get("/pools", params={"api-version": API}, headers=headers)


def test_over_https_credentials_are_needed(secure: TestClient) -> None:
    answer = secure.get("/pools", params={"api-version": API})

    assert refusal(answer) == (401, "AuthenticationFailed")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_token_for_batch_is_taken(secure: TestClient, world: World) -> None:
    token = _token(secure, world, "https://batch.core.windows.net//.default")

    answer = secure.get("/pools", params={"api-version": API}, headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 200


def test_a_token_for_arm_is_refused(secure: TestClient, world: World) -> None:
    token = _token(secure, world, "https://management.azure.com/.default")

    answer = secure.get("/pools", params={"api-version": API}, headers={"authorization": f"Bearer {token}"})

    assert refusal(answer) == (401, "AuthenticationFailed")


def test_both_account_keys_sign(secure: TestClient, account: BatchAccount) -> None:
    assert _signed(secure, account.facts.primary_key).status_code == 200
    assert _signed(secure, account.facts.secondary_key).status_code == 200


def test_a_wrong_key_is_refused(secure: TestClient) -> None:
    answer = _signed(secure, "bm90LXRoZS1rZXk=")

    assert refusal(answer) == (403, "AuthenticationFailed")
    assert "MAC signature" in reasons(answer)["AuthenticationErrorDetail"]


def test_the_key_of_another_account_is_refused(secure: TestClient, account: BatchAccount) -> None:
    assert refusal(_signed(secure, account.facts.primary_key, name="other")) == (403, "AuthenticationFailed")


def test_a_mode_that_the_account_does_not_allow_is_refused(secure: TestClient, account: BatchAccount) -> None:
    account.facts = account.facts.model_copy(update={"allowed_authentication_modes": ("AAD",)})

    answer = _signed(secure, account.facts.primary_key)

    assert refusal(answer) == (403, "AuthenticationFailed")
    assert "SharedKey is not allowed" in reasons(answer)["AuthenticationErrorDetail"]


def test_an_account_without_public_access_refuses_everybody(client: TestClient, account: BatchAccount) -> None:
    account.facts = account.facts.model_copy(update={"public_network_access": "Disabled"})

    assert refusal(client.get("/pools", params={"api-version": API})) == (403, "AuthorizationFailure")
