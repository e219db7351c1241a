"""What an answer of Azure means for the reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceModifiedError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.rest import HttpRequest
from azure.identity import CredentialUnavailableError
from golden_pools.errors import AzureBusyError, AzureRefusedError, GoldenPoolsError, OwnershipError
from golden_pools.hooks.failures import ADVICE, azure_errors, mask, translate
from golden_pools.hooks.operations import PendingOperation

from .wire import Answer, FakeResponse

REQUEST = HttpRequest("GET", "https://management.azure.com/x")


def http_error(
    status: int, body: Any = None, headers: dict[str, str] | None = None, kind: Callable[..., Any] = HttpResponseError
) -> Any:
    return kind(response=FakeResponse(REQUEST, Answer(status, body, headers or {})))


def arm_error(status: int, code: str, message: str = "m", **more: Any) -> Any:
    return http_error(status, {"error": {"code": code, "message": message, **more}})


def told(error: AzureError) -> GoldenPoolsError:
    return translate(error, "Could not do it", "/r")


class TestBusy:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_throttling_and_outages_are_busy(self, status: int) -> None:
        assert isinstance(told(arm_error(status, "Whatever")), AzureBusyError)

    def test_429_is_throttling_although_its_code_also_means_never(self) -> None:
        """Compute throttles with the code of a used-up quota."""
        error = told(arm_error(429, "OperationNotAllowed"))
        assert isinstance(error, AzureBusyError)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [({"Retry-After": "17"}, 17), ({"x-ms-retry-after-ms": "1500"}, 1.5), ({}, None)],
    )
    def test_retry_after_is_told(self, headers: dict[str, str], seconds: float | None) -> None:
        error = told(http_error(429, {"error": {"code": "TooManyRequests", "message": "m"}}, headers))
        assert isinstance(error, AzureBusyError)
        assert error.retry_after_seconds == seconds

    @pytest.mark.parametrize(
        "code", ["PoolBeingResized", "AnotherOperationInProgress", "OperationPreempted", "Conflict", "PoolBeingDeleted"]
    )
    def test_conflicts_that_pass_are_busy(self, code: str) -> None:
        assert isinstance(told(arm_error(409, code)), AzureBusyError)

    @pytest.mark.parametrize("error", [ServiceRequestError("no route"), ServiceResponseError("reset by peer")])
    def test_no_answer_is_busy(self, error: AzureError) -> None:
        translated = told(error)
        assert isinstance(translated, AzureBusyError)
        assert translated.answer.startswith("no answer: ")

    def test_a_certificate_that_nobody_trusts_is_no_outage(self) -> None:
        translated = told(ServiceRequestError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"))
        assert isinstance(translated, AzureRefusedError)
        assert "ca_bundle" in translated.advice

    def test_a_login_that_cannot_be_reached_is_busy(self) -> None:
        error = ClientAuthenticationError(message="Authentication failed: no route")
        error.__cause__ = ServiceRequestError("no route")
        assert isinstance(told(error), AzureBusyError)

    def test_a_login_that_is_down_is_busy(self) -> None:
        assert isinstance(told(http_error(503, {"error": "down"}, kind=ClientAuthenticationError)), AzureBusyError)

    def test_a_failed_operation_may_be_busy(self) -> None:
        assert isinstance(told(arm_error(200, "InternalServerError")), AzureBusyError)

    def test_a_proxys_html_is_busy(self) -> None:
        error = told(http_error(502, "<html>Bad gateway</html>"))
        assert isinstance(error, AzureBusyError)
        assert error.answer == "HTTP 502: status 502"


class TestRefused:
    def test_the_answer_is_one_line_with_status_code_message_and_values(self) -> None:
        details = [{"code": "Reason", "message": "has\nnodes"}, {"code": "PropertyName", "message": "vmSize"}]
        error = told(arm_error(409, "PropertyCannotBeUpdated", "No.", details=details))
        assert isinstance(error, AzureRefusedError)
        assert error.answer == "HTTP 409 PropertyCannotBeUpdated: No. (Reason=has nodes; PropertyName=vmSize)"
        assert (error.status, error.code) == (409, "PropertyCannotBeUpdated")
        assert "shrink it to zero" in error.advice
        assert (error.what, error.resource) == ("Could not do it", "/r")

    def test_nested_details_are_flattened(self) -> None:
        inner = [{"code": "TooManyRequests", "message": "b"}]
        error = told(arm_error(400, "A", "a", details=[{"code": "B", "message": "m", "details": inner}]))
        assert error.answer == "HTTP 400 A: a (B=m; TooManyRequests=b)"

    def test_a_404_keeps_its_code(self) -> None:
        error = told(arm_error(404, "ResourceNotFound"))
        assert isinstance(error, AzureRefusedError)
        assert (error.status, error.code) == (404, "ResourceNotFound")

    def test_the_missing_permission_is_named(self) -> None:
        message = "The client does not have authorization to perform action 'Microsoft.Compute/snapshots/write' over"
        advice = told(arm_error(403, "AuthorizationFailed", message)).advice
        assert "Microsoft.Compute/snapshots/write" in advice
        assert "docs/custom-role.json" in advice

    def test_reader_on_the_image_is_not_enough(self) -> None:
        """azure-docs 118562."""
        advice = told(arm_error(403, "LinkedAuthorizationFailed")).advice
        assert "Microsoft.Compute/disks/beginGetAccess/action" in advice

    @pytest.mark.parametrize("code", ADVICE)
    def test_every_advice_can_be_given(self, code: str) -> None:
        advice = told(arm_error(400, code.upper())).advice
        assert advice
        assert "{" not in advice

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 418])
    def test_there_is_an_advice_for_codes_that_nobody_knows(self, status: int) -> None:
        assert told(arm_error(status, "BrandNew")).advice

    def test_a_failed_operation_has_no_status(self) -> None:
        """The SDK reports it with the 200 of the last poll."""
        error = told(arm_error(200, "OperationNotAllowed", "quota"))
        assert isinstance(error, AzureRefusedError)
        assert (error.status, error.code, error.answer) == (0, "OperationNotAllowed", "OperationNotAllowed: quota")

    def test_if_match_does_not_make_a_403_a_race(self) -> None:
        """The Batch client raises ResourceModifiedError for any status of a request with an ETag."""
        body = {"error": {"code": "AuthorizationFailed", "message": "m"}}
        assert isinstance(told(http_error(403, body, kind=ResourceModifiedError)), AzureRefusedError)

    def test_a_used_up_quota_is_no_conflict_that_passes(self) -> None:
        error = told(arm_error(409, "PoolQuotaReached"))
        assert isinstance(error, AzureRefusedError)
        assert "quota" in error.advice

    @pytest.mark.parametrize(
        "error",
        [
            CredentialUnavailableError(message="ManagedIdentityCredential authentication unavailable"),
            ClientAuthenticationError(message="AADSTS7000215: Invalid client secret provided."),
            http_error(401, {"error": "invalid_client"}, kind=ClientAuthenticationError),
        ],
        ids=["no identity", "no response", "response"],
    )
    def test_a_failed_login_says_what_to_check(self, error: AzureError) -> None:
        translated = told(error)
        assert isinstance(translated, AzureRefusedError)
        assert "login, password and tenantId" in translated.advice

    def test_a_long_answer_is_cut(self) -> None:
        assert len(told(arm_error(400, "A", "x" * 10_000)).answer) == 1500

    def test_412_is_an_ownership_error(self) -> None:
        assert isinstance(told(arm_error(412, "ConditionNotMet")), OwnershipError)


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "https://md.blob.core.windows.net/x/abcd?sv=2018&sr=b&sig=SECRET%3D&se=2026",
            "Authorization: Bearer SECRETSECRETSECRET.x",
            "client_secret=SECRET&x=y",
            '{"access_token": "SECRET", "x": 1}',
            "AccountKey=SECRET;EndpointSuffix=x",
            "Authorization: SharedKey acc:SECRETSECRETSECRETSECRET=",
            "token eyJSECRET.eyJSECRET.SECRET",
        ],
    )
    def test_secrets_are_masked(self, text: str) -> None:
        assert "SECRET" not in mask(text)
        assert "SECRET" not in str(told(arm_error(400, "A", text)))

    def test_ordinary_text_is_left_alone(self) -> None:
        text = "Bearer token authentication is not permitted; check password and tenantId of /subscriptions/1"
        assert mask(text) == text

    def test_a_cause_that_tells_a_secret_is_not_shown(self) -> None:
        with pytest.raises(AzureRefusedError) as caught, azure_errors("Could not", "/r"):
            raise arm_error(400, "A", "sig=SECRET")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_a_harmless_cause_is_kept(self) -> None:
        with pytest.raises(AzureRefusedError) as caught, azure_errors("Could not", "/r"):
            raise arm_error(400, "A")
        assert isinstance(caught.value.__cause__, HttpResponseError)


def test_our_own_errors_pass_unchanged() -> None:
    ours = OwnershipError("mine")
    with pytest.raises(OwnershipError) as caught, azure_errors("Could not", "/r"):
        raise ours
    assert caught.value is ours


def test_an_operation_survives_json() -> None:
    operation = PendingOperation(what="stop VM x", resource_id="/r", token="t")
    assert PendingOperation.from_dict(operation.to_dict()) == operation
