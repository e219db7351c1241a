"""Throwaway VMs with their disks and network cards: made from snapshots, run, generalized, deleted.

Microsoft.Network is spoken to with a bare ARM client: a network card is all that is needed of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core.exceptions import ARMErrorFormat

from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.compute_facts import dig
from golden_pools.hooks.failures import azure_errors
from golden_pools.hooks.operations import PendingOperation, StartOnly
from golden_pools.rules import facts
from golden_pools.rules.source import STANDARD, System

Json = Mapping[str, Any]


class MachinesHook(ComputeHook):
    """What a clone needs beyond what it has in common with other runs; every write is for a clone only."""

    def machine(self, group: str, name: str) -> facts.Made | None:
        """Return who made a VM, and how far it is."""
        client = self.compute_client()
        resource = self._id(group, "virtualMachines", name)
        found = self._find("VM", resource, lambda: client.virtual_machines.get(group, name))
        return _made(found) if found else None

    def disk(self, group: str, name: str) -> facts.Made | None:
        """Return who made a disk, and how far it is."""
        client = self.compute_client()
        found = self._find("disk", self._id(group, "disks", name), lambda: client.disks.get(group, name))
        return _made(found) if found else None

    def network_card(self, group: str, name: str) -> facts.Made | None:
        """Return who made a network card, and how far it is."""
        resource = self._card_id(group, name)
        with azure_errors("Could not read the network card", resource):
            answer = self._ask("GET", resource)
            if answer.http_response.status_code == 404:
                return None
            return _made(_checked(answer).json())

    def throwaways(self, group: str) -> dict[str, list[facts.Made]]:
        """Return all VMs, network cards and disks of a resource group, by kind."""
        client, cards = self.compute_client(), self._card_id(group, "")
        with azure_errors("Could not list the resources", f"resource group {group}"):
            page = _checked(self._ask("GET", cards.rstrip("/"))).json()
            interfaces = list(page["value"])
            while link := page.get("nextLink"):
                page = _checked(self._send(HttpRequest("GET", link))).json()
                interfaces += page["value"]
            return {
                "VM": [_made(vm.as_dict()) for vm in client.virtual_machines.list(group)],
                "network card": [_made(card) for card in interfaces],
                "disk": [_made(disk.as_dict()) for disk in client.disks.list_by_resource_group(group)],
            }

    def begin_disk(
        self, group: str, name: str, *, location: str, sku: str | None, snapshot_id: str, tags: Mapping[str, str]
    ) -> PendingOperation:
        """Make a disk from a snapshot of the same region."""
        body = {
            "location": location,
            "sku": {"name": sku or "StandardSSD_LRS"},
            "tags": dict(tags),
            "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": snapshot_id}},
        }
        start = self.compute_client().disks.begin_create_or_update
        return self._begin(f"make disk {name}", self._id(group, "disks", name), start, group, name, body)

    def begin_network_card(
        self, group: str, name: str, *, location: str, subnet_id: str, tags: Mapping[str, str]
    ) -> PendingOperation:
        """Make a network card without a public address in a subnet."""
        configuration = {"subnet": {"id": subnet_id}, "privateIPAllocationMethod": "Dynamic"}
        body = {
            "location": location,
            "tags": dict(tags),
            "properties": {"ipConfigurations": [{"name": "clone", "properties": configuration}]},
        }
        return self._begin_raw(f"make network card {name}", "PUT", self._card_id(group, name), body)

    def begin_machine(
        self,
        group: str,
        name: str,
        *,
        system: System,
        vm_size: str,
        disks: Mapping[int | None, str],
        tags: Mapping[str, str],
    ) -> PendingOperation:
        """Make a VM that boots from disks that are there; what it uses goes with it.

        :param disks: LUN -> ARM id, the OS disk under None
        """

        def attached(disk_id: str) -> dict[str, Any]:
            return {"createOption": "Attach", "managedDisk": {"id": disk_id}, "deleteOption": "Delete"}

        card = {"id": self._card_id(group, f"{name}-nic"), "properties": {"primary": True, "deleteOption": "Delete"}}
        properties: dict[str, Any] = {
            "hardwareProfile": {"vmSize": vm_size},
            "storageProfile": {
                "osDisk": {**attached(disks[None]), "osType": system.os_type},
                "dataDisks": [{"lun": lun, **attached(id_)} for lun, id_ in disks.items() if lun is not None],
                **({"diskControllerType": "NVMe"} if system.nvme else {}),
            },
            "networkProfile": {"networkInterfaces": [card]},
        }
        if system.security_type.casefold() != STANDARD.casefold():
            properties["securityProfile"] = {
                "securityType": system.security_type,
                "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
            }
        body: dict[str, Any] = {"location": system.location, "tags": dict(tags), "properties": properties}
        if plan := system.purchase_plan:
            body["plan"] = {"name": plan.name, "publisher": plan.publisher, "product": plan.product}
        start = self.compute_client().virtual_machines.begin_create_or_update
        return self._begin(f"make VM {name}", self._id(group, "virtualMachines", name), start, group, name, body)

    def begin_script(self, group: str, name: str, *, script: str, windows: bool) -> PendingOperation:
        """Run a script in a VM's guest; the operation's result holds its output."""
        body = {"commandId": "RunPowerShellScript" if windows else "RunShellScript", "script": script.splitlines()}
        start = self.compute_client().virtual_machines.begin_run_command
        return self._begin(
            f"run a script in VM {name}", self._id(group, "virtualMachines", name), start, group, name, body
        )

    def generalize(self, group: str, name: str) -> None:
        """Flag a VM at rest as generalized: it never starts again."""
        with azure_errors("Could not flag the VM as generalized", self._id(group, "virtualMachines", name)):
            self.compute_client().virtual_machines.generalize(group, name)

    def begin_delete(self, resource_id: str) -> PendingOperation:
        """Delete a VM, a disk or a network card."""
        name = resource_id.rpartition("/")[2]
        return self._begin_raw(f"delete {name}", "DELETE", resource_id)

    def _card_id(self, group: str, name: str) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.Network/networkInterfaces/{name}"
        )

    def _begin_raw(self, what: str, method: str, resource_id: str, body: Json | None = None) -> PendingOperation:
        with azure_errors(f"Could not {what}", resource_id):
            answer = self._ask(method, resource_id, body)
            _checked(answer)
            poller = LROPoller(self.arm_client(), answer, lambda _: None, StartOnly())
        return PendingOperation(what=what, resource_id=resource_id, token=poller.continuation_token())

    def _ask(self, method: str, resource_id: str, body: Json | None = None) -> Any:
        version = PendingOperation(what="", resource_id=resource_id).api_version
        url = f"{self.connection.arm_endpoint}{resource_id}"
        return self._send(HttpRequest(method, url, params={"api-version": version}, json=body))

    def _send(self, request: HttpRequest) -> Any:
        return self.arm_client().send_request(request, _return_pipeline_response=True)


def _checked(answer: Any) -> Any:
    if answer.http_response.status_code >= 400:
        raise HttpResponseError(response=answer.http_response, error_format=ARMErrorFormat)
    return answer.http_response


def _made(value: Json) -> facts.Made:
    return facts.Made(
        id=value["id"],
        name=value["name"],
        provisioning_state=str(dig(value, "properties", "provisioningState") or ""),
        tags=value.get("tags") or {},
    )
