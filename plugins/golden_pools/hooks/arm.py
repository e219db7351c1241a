"""Bare ARM calls: for resources whose SDK is not worth having, and for deletions, which are alike for every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core.exceptions import ARMErrorFormat

from golden_pools.hooks.azure import AzureHook
from golden_pools.hooks.failures import azure_errors, is_absent
from golden_pools.hooks.operations import PendingOperation, StartOnly

Json = Mapping[str, Any]

DELETABLE = frozenset(
    {
        "virtualmachines",
        "disks",
        "networkinterfaces",
        "snapshots",
        "images",
        "galleries/images/versions",
        "restorepointcollections",
        "restorepointcollections/restorepoints",
    }
)
"""What runs make and remove, by lower-case resource type; nothing else is ever deleted, least of all a gallery."""


class ArmHook(AzureHook):
    """Reads and writes by a resource's id alone; errors are the SDK's, for :func:`azure_errors` of the caller."""

    def _begin_raw(self, method: str, resource_id: str, body: Json | None = None) -> str:
        """Send a write, and return the continuation token of its operation."""
        answer = self._ask(method, resource_id, body)
        poller = LROPoller(self.arm_client(), answer, lambda _: None, StartOnly())
        return str(poller.continuation_token())

    def _read_raw(self, resource_id: str) -> Json:
        """Return a resource as ARM's JSON."""
        body: Json = self._ask("GET", resource_id).http_response.json()
        return body

    def _list_raw(self, resource_id: str) -> Iterator[Json]:
        """Yield the items of a list, page by page."""
        page = self._read_raw(resource_id)
        yield from page["value"]
        while link := page.get("nextLink"):
            page = self._send(HttpRequest("GET", link)).http_response.json()
            yield from page["value"]

    def _ask(self, method: str, resource_id: str, body: Json | None = None) -> Any:
        version = PendingOperation(what="", resource_id=resource_id).api_version
        url = f"{self.connection.arm_endpoint}{resource_id}"
        return self._send(HttpRequest(method, url, params={"api-version": version}, json=body))

    def _send(self, request: HttpRequest) -> Any:
        answer = self.arm_client().send_request(request, _return_pipeline_response=True)
        if answer.http_response.status_code >= 400:
            raise HttpResponseError(response=answer.http_response, error_format=ARMErrorFormat)
        return answer


class RemovalHook(ArmHook):
    """Begins deletions; nothing waits here."""

    def begin_delete(self, resource_id: str) -> PendingOperation:
        """Begin to delete something of :data:`DELETABLE`; what is gone already is no failure.

        The operation ends when the resource is really gone. It may lie in another subscription.

        :raises AzureRefusedError: it is locked, in use, or not to be deleted before its end of life, among others
        """
        kind = "/".join(resource_id.strip("/").lower().rpartition("/providers/")[2].split("/")[1::2])
        if kind not in DELETABLE:
            raise ValueError(f"nothing of the kind {kind} is ever deleted")
        what = f"delete {resource_id.rstrip('/').rpartition('/')[2]}"
        with azure_errors(f"Could not {what}", resource_id):
            try:
                token = self._begin_raw("DELETE", resource_id)
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                token = None
        return PendingOperation(what=what, resource_id=resource_id, token=token, removes=True)
