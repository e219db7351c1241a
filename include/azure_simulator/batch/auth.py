"""Who may call the data plane: Entra tokens and the account's shared keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from enum import StrEnum

from starlette.requests import Request

from include.azure_simulator.batch.accounts import BatchAccount
from include.azure_simulator.errors import DataPlaneError
from include.azure_simulator.identity import BATCH_AUDIENCES, InvalidToken
from include.azure_simulator.links import base_url

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
"""Standard headers of the string to sign, in order (article "Authenticate Requests to the Azure Batch Service")."""

_REFUSED = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly"


class Caller(StrEnum):
    """How a caller has shown who it is."""

    ANONYMOUS = "anonymous"
    TOKEN = "AAD"  # noqa: S105 - the service's word for Entra
    SHARED_KEY = "SharedKey"


def authenticate(request: Request, account: BatchAccount) -> Caller:
    """The caller of a data-plane request; over http a call without credentials passes, since SDKs send no token there.

    :raises DataPlaneError: 401 ``AuthenticationFailed`` without credentials, 403 with wrong ones or a mode that the
        account does not allow, 403 ``AuthorizationFailure`` when the account has no public network access.
    """
    if account.facts.public_network_access == "Disabled":
        raise DataPlaneError(
            403,
            "AuthorizationFailure",
            "This request is not authorized to perform this operation: public network access.",
        )
    authorization = request.headers.get("authorization")
    if authorization is None:
        if request.url.scheme == "http":
            return Caller.ANONYMOUS
        challenge = {"WWW-Authenticate": f'Bearer authorization_uri="{base_url(request)}"'}
        raise DataPlaneError(401, "AuthenticationFailed", f"{_REFUSED} including the signature.", headers=challenge)
    caller = Caller.SHARED_KEY if authorization.lower().startswith("sharedkey ") else Caller.TOKEN
    if caller.value not in account.facts.allowed_authentication_modes:
        raise _refused(f"The specified type of authentication {caller.value} is not allowed for this account.")
    if caller is Caller.SHARED_KEY:
        _check_shared_key(request, authorization, account)
        return caller
    try:
        request.app.state.world.tokens.verify(authorization, BATCH_AUDIENCES)
    except InvalidToken as error:
        raise DataPlaneError(
            401,
            "AuthenticationFailed",
            f"{_REFUSED} including the signature.",
            values=[("AuthenticationErrorDetail", f"The specified token is not valid: {error}.")],
        ) from error
    return caller


def string_to_sign(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], account_name: str
) -> str:
    """What a shared key signs.

    :param path: the path of the request, as it was sent.
    :param query: decoded query parameters.
    :param headers: request headers, names in lower case.
    """
    values = {name: headers.get(name, "") for name in _SIGNED_HEADERS}
    if method.upper() not in ("GET", "HEAD"):
        values["content-length"] = values["content-length"] or "0"
    lines = [method.upper(), *values.values()]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-")]
    lines.append(f"/{account_name}{path}")
    lines += [f"{name}:{query[name]}" for name in sorted(query) if query[name]]
    return "\n".join(lines)


def sign(text: str, key: str) -> str:
    """The signature of a string with an account key, both base64."""
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _check_shared_key(request: Request, authorization: str, account: BatchAccount) -> None:
    name, _, signature = authorization.partition(" ")[2].strip().partition(":")
    if name.lower() != account.name.lower():
        raise _refused("The account name in the Authorization header is not that of the account.")
    headers = {header.lower(): value for header, value in request.headers.items()}
    query = dict(request.query_params)
    path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").split("?")[0]
    text = string_to_sign(request.method, path, query, headers, account.name)
    keys = (account.facts.primary_key, account.facts.secondary_key)
    if not any(hmac.compare_digest(sign(text, key), signature) for key in keys):
        raise _refused("The MAC signature found in the HTTP request is not the same as any computed signature.")


def _refused(detail: str) -> DataPlaneError:
    return DataPlaneError(
        403,
        "AuthenticationFailed",
        f"{_REFUSED} including the signature.",
        values=[("AuthenticationErrorDetail", detail)],
    )
