"""Who may call: Entra tokens, and the documents by which clients find their way."""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import jwt
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from include.azure_simulator.errors import ArmError
from include.azure_simulator.links import base_url, host, scheme
from include.azure_simulator.resources import JsonObject
from include.azure_simulator.wire import CaseInsensitiveRoute, json_response

if TYPE_CHECKING:
    from include.azure_simulator.world import World

router = APIRouter(route_class=CaseInsensitiveRoute)

ARM_AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://management.chinacloudapi.cn",
        "https://management.core.chinacloudapi.cn",
        "https://management.usgovcloudapi.net",
        "https://management.core.usgovcloudapi.net",
    }
)
"""What a client may ask a token for when it means ARM; this server's own address counts too."""

BATCH_AUDIENCES = frozenset(
    {
        "https://batch.core.windows.net",
        "https://batch.chinacloudapi.cn",
        "https://batch.core.chinacloudapi.cn",
        "https://batch.core.usgovcloudapi.net",
    }
)
"""What a client may ask a token for when it means the Batch data plane."""

_ISSUER = "https://sts.windows.net/{tenant}/"


class InvalidToken(Exception):  # noqa: N818 - it is a verdict on a token that each plane renders its own way
    """A token that this server did not issue, that has expired, or that is meant for another service."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the application id of the token."""

    client_id: str


class LoginError(Exception):
    """An OAuth error: HTTP status, OAuth error, Entra's number and text."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(f"AADSTS{number}: {text}")
        self.status = status
        self.error = error
        self.number = number


class TokenAuthority:
    """Issues and checks tokens. The key follows from the client secret, so a restart does not make tokens invalid.

    :param world: gives the tenant and the token lifetime.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._key = hashlib.sha256(f"{world.tenant.id}:{world.tenant.client_secret}".encode()).hexdigest()

    def sign_in(self, tenant: str, form: dict[str, str], own_address: str) -> JsonObject:
        """Answer a client credentials request.

        :param form: the fields of the request.
        :param own_address: this server as the client called it, an audience for ARM.
        :raises LoginError: as Entra refuses.
        """
        expected = self._world.tenant
        if tenant.lower() != expected.id.lower():
            raise LoginError(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials":
            text = f"The app requested an unsupported grant type '{form.get('grant_type', '')}'."
            raise LoginError(400, "unsupported_grant_type", 70003, text)
        client = form.get("client_id", "")
        if client.lower() != expected.client_id.lower():
            text = f"Application with identifier '{client}' was not found in the directory '{tenant}'."
            raise LoginError(400, "unauthorized_client", 700016, text)
        if not hmac.compare_digest(form.get("client_secret", "").encode(), expected.client_secret.encode()):
            raise LoginError(401, "invalid_client", 7000215, "Invalid client secret provided.")
        audience = _audience(form)
        if audience not in ARM_AUDIENCES | BATCH_AUDIENCES | {own_address}:
            text = f"The resource principal named {audience} was not found in the tenant named {tenant}."
            raise LoginError(400, "invalid_resource", 500011, text)
        lifetime = self._world.settings.identity.token_lifetime_seconds
        return {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self._token(audience, lifetime),
        }

    def verify(self, authorization: str, audiences: frozenset[str]) -> Principal:
        """The caller of a request.

        :param authorization: the ``Authorization`` header.
        :param audiences: the audiences of the service that was called.
        :raises InvalidToken: when the header holds no token of this server for this service.
        """
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            raise InvalidToken("the scheme is not Bearer")
        try:
            claims = jwt.decode(token.strip(), self._key, algorithms=["HS256"], audience=sorted(audiences))
        except jwt.InvalidTokenError as error:
            raise InvalidToken(str(error)) from error
        return Principal(str(claims["appid"]))

    def _token(self, audience: str, lifetime: int) -> str:
        now = int(time.time())
        tenant = self._world.tenant
        claims = {
            "aud": audience,
            "iss": _ISSUER.format(tenant=tenant.id),
            "iat": now,
            "nbf": now - 60,
            "exp": now + lifetime,
            "appid": tenant.client_id,
            "oid": tenant.client_id,
            "tid": tenant.id,
            "uti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")


def _audience(form: dict[str, str]) -> str:
    """The audience of a v2 ``scope`` (which can arrive with a double slash) or of a v1 ``resource``."""
    scope = form.get("scope", "").split(" ")[0]
    return (scope.removesuffix(".default") or form.get("resource", "")).rstrip("/")


def authenticate_arm(request: Request) -> Principal | None:
    """The caller of an ARM request; ``None`` for a call without a token over http, which SDKs make.

    :raises ArmError: 401 ``AuthenticationFailed`` without a token, ``InvalidAuthenticationToken`` with a wrong one.
    """
    authorization = request.headers.get("authorization")
    challenge = {
        "WWW-Authenticate": f'Bearer authorization_uri="{base_url(request)}/{request.app.state.world.tenant.id}", '
        'error="invalid_token", error_description="The authentication failed."'
    }
    if authorization is None:
        if request.url.scheme == "http":
            return None
        message = "Authentication failed. The 'Authorization' header is missing."
        raise ArmError(401, "AuthenticationFailed", message, headers=challenge)
    try:
        audiences = ARM_AUDIENCES | {base_url(request), f"https://{host(request)}"}
        tokens: TokenAuthority = request.app.state.world.tokens
        return tokens.verify(authorization, audiences)
    except InvalidToken as error:
        raise ArmError(
            401, "InvalidAuthenticationToken", f"The access token is invalid: {error}.", headers=challenge
        ) from error


@router.post("/{tenant}/oauth2/v2.0/token")
@router.post("/{tenant}/oauth2/token")
async def token(request: Request, tenant: str) -> Response:
    """Sign in."""
    form = {key: values[0] for key, values in parse_qs((await request.body()).decode(errors="replace")).items()}
    authority: TokenAuthority = request.app.state.world.tokens
    try:
        return json_response(authority.sign_in(tenant, form, base_url(request)))
    except LoginError as refused:
        return json_response(
            {
                "error": refused.error,
                "error_description": str(refused),
                "error_codes": [refused.number],
            },
            status=refused.status,
        )


@router.get("/{tenant}/v2.0/.well-known/openid-configuration")
@router.get("/{tenant}/.well-known/openid-configuration")
async def openid_configuration(request: Request, tenant: str) -> Response:
    """Where to sign in."""
    here = f"{base_url(request)}/{tenant}"
    return json_response(
        {
            "issuer": f"{here}/v2.0",
            "authorization_endpoint": f"{here}/oauth2/v2.0/authorize",
            "token_endpoint": f"{here}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{here}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{here}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "tenant_region_scope": "EU",
        }
    )


@router.get("/common/discovery/instance")
async def instance_discovery(request: Request) -> Response:
    """Answer a client that did not switch instance discovery off."""
    tenant = request.app.state.world.tenant.id
    return json_response(
        {
            "tenant_discovery_endpoint": f"{base_url(request)}/{tenant}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [
                {
                    "preferred_network": host(request),
                    "preferred_cache": host(request),
                    "aliases": [host(request)],
                }
            ],
        }
    )


@router.get("/metadata/endpoints")
async def cloud_metadata(request: Request) -> Response:
    """The cloud as ``az cloud register`` reads it."""
    here = base_url(request)
    tenant = request.app.state.world.tenant.id
    return json_response(
        {
            "name": "AzureSimulator",
            "portal": here,
            "authentication": {
                "loginEndpoint": here,
                "audiences": [here, "https://management.core.windows.net/", "https://management.azure.com/"],
                "tenant": tenant,
                "identityProvider": "AAD",
            },
            "resourceManager": here,
            "batch": "https://batch.core.windows.net/",
            "graph": here,
            "graphAudience": here,
            "gallery": here,
            "suffixes": {"storage": "storage.localhost", "keyVaultDns": "vault.localhost"},
            "media": f"{scheme(request)}://{host(request)}",
        }
    )
