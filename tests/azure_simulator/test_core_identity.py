"""Tokens, and the documents by which clients find their way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from arm_client import VM, Arm, error_of
from starlette.testclient import TestClient

from include.azure_simulator.server import build_app
from include.azure_simulator.world import World

ARM_SCOPE = "https://management.azure.com/.default"
BATCH_SCOPE = "https://batch.core.windows.net/.default"


@pytest.fixture
def https(world: World) -> Iterator[TestClient]:
    """A client that calls over TLS."""
    with TestClient(build_app(world), base_url="https://localhost:8443") as client:
        yield client


def _sign_in(client: TestClient, world: World, **changes: str) -> tuple[int, dict[str, object]]:
    form = {
        "grant_type": "client_credentials",
        "client_id": world.tenant.client_id,
        "client_secret": world.tenant.client_secret,
        "scope": ARM_SCOPE,
    } | changes
    answer = client.post(f"/{world.tenant.id}/oauth2/v2.0/token", data=form)
    return answer.status_code, answer.json()


def _bearer(client: TestClient, world: World, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {_sign_in(client, world, scope=scope)[1]['access_token']}"}


@pytest.mark.parametrize(
    "scope", [ARM_SCOPE, "https://management.azure.com//.default", "https://localhost:8443/.default"]
)
def test_a_token_opens_arm(https: TestClient, world: World, arm: Arm, scope: str) -> None:
    answer = https.get(f"{arm.id(VM)}?api-version=2026-04-01", headers=_bearer(https, world, scope))
    assert answer.json()["name"] == "golden-vm"


def test_a_version_1_token_request_names_a_resource(https: TestClient, world: World, arm: Arm) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": world.tenant.client_id,
        "client_secret": world.tenant.client_secret,
        "resource": "https://management.core.windows.net/",
    }
    token = https.post(f"/{world.tenant.id}/oauth2/token", data=form).json()["access_token"]
    answer = https.get(f"{arm.id(VM)}?api-version=2026-04-01", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


def test_a_token_answer_has_what_clients_read(https: TestClient, world: World) -> None:
    status, body = _sign_in(https, world)
    assert (status, body["token_type"], body["expires_in"]) == (200, "Bearer", 3599)


@pytest.mark.parametrize(
    ("change", "status", "error", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", "AADSTS7000215"),
        ({"client_id": "nobody"}, 400, "unauthorized_client", "AADSTS700016"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "AADSTS70003"),
        ({"scope": "https://vault.azure.net/.default"}, 400, "invalid_resource", "AADSTS500011"),
    ],
)
def test_a_wrong_sign_in_is_refused_as_entra_does(
    https: TestClient, world: World, change: dict[str, str], status: int, error: str, code: str
) -> None:
    answered, body = _sign_in(https, world, **change)
    assert (answered, body["error"]) == (status, error)
    assert str(body["error_description"]).startswith(f"{code}:")


def test_an_unknown_tenant_is_refused(https: TestClient) -> None:
    answer = https.post("/nowhere/oauth2/v2.0/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "AADSTS90002" in answer.json()["error_description"]


def test_over_tls_arm_needs_a_token(https: TestClient, arm: Arm) -> None:
    answer = https.get(f"{arm.id(VM)}?api-version=2026-04-01")
    assert error_of(answer) == (401, "AuthenticationFailed")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_over_plain_http_a_missing_token_is_accepted(arm: Arm) -> None:
    assert arm.get(VM).status_code == 200


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic dXNlcjpwYXNz", ""])
def test_a_token_that_is_there_must_be_valid(client: TestClient, arm: Arm, header: str) -> None:
    answer = client.get(f"{arm.id(VM)}?api-version=2026-04-01", headers={"Authorization": header})
    assert error_of(answer) == (401, "InvalidAuthenticationToken")


def test_behind_a_tls_proxy_a_wrong_token_is_refused_too(client: TestClient, arm: Arm) -> None:
    headers = {"Authorization": "Bearer nonsense", "X-Forwarded-Proto": "https"}
    answer = client.get(f"{arm.id(VM)}?api-version=2026-04-01", headers=headers)
    assert error_of(answer) == (401, "InvalidAuthenticationToken")


def test_a_batch_token_does_not_open_arm(https: TestClient, world: World, arm: Arm) -> None:
    answer = https.get(f"{arm.id(VM)}?api-version=2026-04-01", headers=_bearer(https, world, BATCH_SCOPE))
    assert error_of(answer) == (401, "InvalidAuthenticationToken")


def test_a_restart_does_not_make_tokens_invalid(https: TestClient, world: World, arm: Arm) -> None:
    headers = _bearer(https, world, ARM_SCOPE)
    with TestClient(build_app(World.load()), base_url="https://localhost:8443") as restarted:
        assert restarted.get(f"{arm.id(VM)}?api-version=2026-04-01", headers=headers).status_code == 200


def test_openid_configuration_points_to_this_server(https: TestClient, world: World) -> None:
    body = https.get(f"/{world.tenant.id}/v2.0/.well-known/openid-configuration").json()
    assert body["token_endpoint"] == f"https://localhost:8443/{world.tenant.id}/oauth2/v2.0/token"
    assert body["issuer"].startswith("https://localhost:8443/")


def test_cloud_metadata_is_an_object_with_the_endpoints(https: TestClient) -> None:
    body = https.get("/metadata/endpoints?api-version=2019-05-01").json()
    assert body["resourceManager"] == body["authentication"]["loginEndpoint"] == "https://localhost:8443"
    assert body["batch"] == "https://batch.core.windows.net/"
