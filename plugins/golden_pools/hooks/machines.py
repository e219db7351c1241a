"""Throwaway VMs with their disks and network cards: made from snapshots, run, generalized, deleted.

Microsoft.Network is spoken to in bare ARM calls: a network card is all that is needed of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError

from golden_pools.hooks.arm import RemovalHook
from golden_pools.hooks.compute import ComputeHook
from golden_pools.hooks.compute_facts import resource
from golden_pools.hooks.failures import azure_errors, is_absent
from golden_pools.hooks.operations import PendingOperation
from golden_pools.rules import facts
from golden_pools.rules.source import STANDARD, System


class MachinesHook(ComputeHook, RemovalHook):
    """What a clone needs beyond what it has in common with other runs; every write is for a clone only."""

    def machine(self, group: str, name: str) -> facts.Resource | None:
        """Return who made a VM, and how far it is."""
        client = self.compute_client()
        machine_id = self._id(group, "virtualMachines", name)
        found = self._find("VM", machine_id, lambda: client.virtual_machines.get(group, name))
        return resource(found) if found else None

    def disk(self, group: str, name: str) -> facts.Resource | None:
        """Return who made a disk, and how far it is."""
        client = self.compute_client()
        found = self._find("disk", self._id(group, "disks", name), lambda: client.disks.get(group, name))
        return resource(found) if found else None

    def network_card(self, group: str, name: str) -> facts.Resource | None:
        """Return who made a network card, and how far it is."""
        card_id = self._card_id(group, name)
        with azure_errors("Could not read the network card", card_id):
            try:
                return resource(self._read_raw(card_id))
            except HttpResponseError as error:
                if not is_absent(error):
                    raise
                return None

    def begin_disk(
        self,
        group: str,
        name: str,
        *,
        location: str,
        sku: str | None,
        source_id: str,
        tags: Mapping[str, str],
        create_option: str = "Copy",
    ) -> PendingOperation:
        """Make a disk of the same region as its source: a snapshot, or with ``Restore`` the restore point of a disk."""
        body = {
            "location": location,
            "sku": {"name": sku or "StandardSSD_LRS"},
            "tags": dict(tags),
            "properties": {"creationData": {"createOption": create_option, "sourceResourceId": source_id}},
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
        what, card_id = f"make network card {name}", self._card_id(group, name)
        with azure_errors(f"Could not {what}", card_id):
            token = self._begin_raw("PUT", card_id, body)
        return PendingOperation(what=what, resource_id=card_id, token=token)

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

    def _card_id(self, group: str, name: str) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.Network/networkInterfaces/{name}"
        )
