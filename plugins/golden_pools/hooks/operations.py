"""Azure's long-running operations: started on a worker, waited for in the triggerer.

The SDK's own continuation token goes from one to the other. A worker that dies between the write and saving the token
leaves an operation without one; then the resource's ``provisioningState`` says how it went.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.polling import AsyncLROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.core.polling.async_arm_polling import AsyncARMPolling

from golden_pools.errors import AzureRefusedError
from golden_pools.hooks.azure import AsyncAzureHook
from golden_pools.hooks.failures import azure_errors, is_absent, is_busy, mask, retry_after_seconds, status_of

COMPUTE_API = "2026-04-01"
DISK_API = "2026-03-02"
GALLERY_API = "2026-03-03"
NETWORK_API = "2024-05-01"
API_VERSIONS = {
    "virtualmachines": COMPUTE_API,
    "images": COMPUTE_API,
    "disks": DISK_API,
    "snapshots": DISK_API,
    "galleries": GALLERY_API,
    "restorepointcollections": COMPUTE_API,
    "networkinterfaces": NETWORK_API,
}
"""Versions that azure-mgmt-compute 39 speaks by default, and one of Microsoft.Network, by resource type."""

DEFAULT_PATIENCE = 8
"""Failures in a row that a wait outlives: with pauses of 2, 4, 8 ... 60 seconds about four minutes."""
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class PendingOperation:
    """An operation that Azure is working on, as JSON-safe values.

    :param what: what is being done, in words that go on from "could not": ``make snapshot x``
    :param resource_id: full ARM id of the resource
    :param token: the SDK's continuation token; None: watch the resource's own state
    :param removes: the resource is deleted, and the wait ends when it is really gone
    :param copies: Azure goes on copying when the operation has ended, and the wait ends when that is done
    """

    what: str
    resource_id: str
    token: str | None = None
    removes: bool = False
    copies: bool = False

    @property
    def api_version(self) -> str:
        """Version in which the resource is read."""
        kind = self.resource_id.lower().partition("/providers/")[2].split("/")[1]
        return API_VERSIONS[kind]

    def to_dict(self) -> dict[str, Any]:
        """Return the operation as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> PendingOperation:
        """Return the operation that :meth:`to_dict` wrote."""
        return cls(**value)


class StartOnly(ARMPolling):  # type: ignore[misc]
    """A polling method that does not poll: the operation is started, its token is wanted, nobody waits here."""

    def run(self) -> None:
        """Return at once; the SDK would poll in a thread of its own otherwise."""


class _PatientPolling(AsyncARMPolling):  # type: ignore[misc]
    """Polls through throttling and short outages instead of failing the operation for them."""

    def __init__(self, *, patience: int, poll_seconds: float) -> None:
        super().__init__(timeout=poll_seconds)
        self._patience = patience

    async def request_status(self, status_link: str) -> Any:
        return await ask_patiently(self._client, HttpRequest("GET", status_link), self._patience)


async def ask_patiently(client: Any, request: HttpRequest, patience: int) -> Any:
    """Send a GET until it is answered with anything but "busy"; return the SDK's pipeline response.

    :param patience: failures in a row before the last one is raised
    :raises HttpResponseError: any other error status
    """
    for failures in range(1, patience + 2):
        try:
            answer = await client.send_request(request, _return_pipeline_response=True)
            if answer.http_response.status_code >= 400:
                raise HttpResponseError(response=answer.http_response, error_format=ARMErrorFormat)
        except AzureError as error:
            if not is_busy(error) or failures > patience:
                raise
            pause = retry_after_seconds(error) or min(LONGEST_PAUSE_SECONDS, 2.0**failures)
            await asyncio.sleep(pause * random.uniform(1.0, 1.2))  # noqa: S311
        else:
            return answer
    raise AssertionError("the last failure is raised")  # pragma: no cover


def _body(answer: Any) -> Any:
    """Return what Azure answered in the end as JSON.

    The response of an operation that ended with the answer to its write was rebuilt from the token: it has content, and
    no ``json()``.
    """
    content = answer.http_response.content
    return json.loads(content) if content else None


class AsyncOperations(AsyncAzureHook):
    """Waits for operations of Microsoft.Compute in the triggerer."""

    async def finish(self, operation: PendingOperation, *, patience: int = DEFAULT_PATIENCE) -> Any:
        """Wait until an operation has ended well, at the pace that Azure asks for (``Retry-After``).

        Returns what Azure answers in the end as JSON, None where that is nothing or has been forgotten.

        :param patience: failed polls in a row that are waited out
        :raises AzureRefusedError: it failed; ``code`` is Azure's, ``status`` is 0
        :raises AzureBusyError: it failed for a reason that passes, or Azure did not answer for longer than ``patience``
        """
        with azure_errors(f"Could not {operation.what}", operation.resource_id):
            outcome, ended = None, False
            if operation.token is not None:
                try:
                    outcome, ended = await self._follow(operation.token, patience), True
                except HttpResponseError as error:
                    # Azure forgets operations after a day or so; the resource remembers how it went.
                    if status_of(error) not in (404, 410):
                        raise
            if not ended:
                await self._watch(operation, patience)
            if operation.copies:
                await self._watch_copy(operation, patience)
        return outcome

    async def finish_removal(self, operation: PendingOperation, *, patience: int = DEFAULT_PATIENCE) -> None:
        """Wait until a deletion has ended well and the resource is really gone: Azure ends the one before the other.

        :param patience: as in :meth:`finish`; also how often a resource may show another state than ``Deleting``
        :raises AzureRefusedError: the deletion failed
        """
        connection = await self.connection()
        other_state = 0
        with azure_errors(f"Could not {operation.what}", operation.resource_id):
            if operation.token is not None:
                try:
                    await self._follow(operation.token, patience)
                except HttpResponseError as error:
                    if status_of(error) not in (404, 410):
                        raise
            while True:
                try:
                    resource = await self.read(operation.resource_id, operation.api_version, patience=patience)
                except HttpResponseError as error:
                    if not is_absent(error):
                        raise
                    return
                state = str(resource.get("properties", {}).get("provisioningState"))
                other_state = 0 if state == "Deleting" else other_state + 1
                if other_state > patience:
                    raise AzureRefusedError(
                        f"Could not {operation.what}",
                        resource=operation.resource_id,
                        answer=mask(f"it is still there, provisioningState {state}"),
                        advice="the resource's Activity log in the portal says why; the next run tries it again",
                        code="StillThere",
                    )
                await asyncio.sleep(connection.poll_seconds)

    async def _follow(self, token: str, patience: int) -> Any:
        connection = await self.connection()
        poller = AsyncLROPoller.from_continuation_token(
            polling_method=_PatientPolling(patience=patience, poll_seconds=connection.poll_seconds),
            continuation_token=token,
            client=await self.arm_client(),
            deserialization_callback=_body,
        )
        return await poller.result()

    async def _watch(self, operation: PendingOperation, patience: int) -> None:
        connection = await self.connection()
        while True:
            resource = await self.read(operation.resource_id, operation.api_version, patience=patience)
            state = str(resource.get("properties", {}).get("provisioningState", "Succeeded"))
            if state == "Succeeded":
                return
            if state in ("Failed", "Canceled"):
                raise AzureRefusedError(
                    f"Could not {operation.what}",
                    resource=operation.resource_id,
                    answer=mask(f"provisioningState {state}"),
                    advice="the resource's Activity log in the portal says why; delete the resource before another try",
                    code=f"Provisioning{state}",
                )
            await asyncio.sleep(connection.poll_seconds)

    async def _watch_copy(self, operation: PendingOperation, patience: int) -> None:
        """Wait until the data is there ("Create an incremental snapshot": Ultra Disks and Premium SSD v2)."""
        connection = await self.connection()
        while True:
            resource = await self.read(operation.resource_id, operation.api_version, patience=patience)
            properties = resource.get("properties", {})
            if failure := properties.get("copyCompletionError"):
                raise AzureRefusedError(
                    f"Could not {operation.what}",
                    resource=operation.resource_id,
                    answer=mask(f"{failure.get('errorCode')}: {failure.get('errorMessage')}"),
                    advice="Azure could not copy the data in the background: mend what it names, then run again",
                    code=str(failure.get("errorCode") or ""),
                )
            percent = properties.get("completionPercent")
            if (percent is None or percent >= 100) and properties.get("snapshotAccessState") != "Pending":
                return
            await asyncio.sleep(connection.poll_seconds)

    async def read(
        self, resource_id: str, api_version: str, *, patience: int = DEFAULT_PATIENCE, expand: str | None = None
    ) -> Mapping[str, Any]:
        """Return a resource as ARM's JSON.

        :raises HttpResponseError: Azure answered with an error that does not pass by itself
        """
        client = await self.arm_client()
        connection = await self.connection()
        params = {"api-version": api_version, **({"$expand": expand} if expand else {})}
        request = HttpRequest("GET", f"{connection.arm_endpoint}{resource_id}", params=params)
        answer = await ask_patiently(client, request, patience)
        body: Mapping[str, Any] = answer.http_response.json()
        return body
