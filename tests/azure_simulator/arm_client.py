"""ARM as the tests of the simulator call it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import yaml
from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.clock import Clock
from include.azure_simulator.server import build_app
from include.azure_simulator.world import SAMPLE_WORLD, World, WorldFile

GOLDEN = "resourceGroups/golden/providers/Microsoft.Compute"
IMAGES = "resourceGroups/images/providers/Microsoft.Compute"
NETWORK = "resourceGroups/golden/providers/Microsoft.Network"
SUBNET = f"{NETWORK}/virtualNetworks/golden-net/subnets/builders"
VM = f"{GOLDEN}/virtualMachines/golden-vm"
GALLERY = f"{IMAGES}/galleries/golden_gallery"
DEFINITION = f"{GALLERY}/images/golden"
VERSION = f"{DEFINITION}/versions/1.0.0"


def error_of(answer: Response) -> tuple[int, str]:
    """Status and code of a refused call."""
    return answer.status_code, answer.json()["error"]["code"]


def message_of(answer: Response) -> str:
    """Message of a refused call."""
    message: str = answer.json()["error"]["message"]
    return message


class Arm:
    """ARM as tests call it: paths below the subscription, an api-version of today unless another one is given.

    :param client: calls the application.
    :param world: the world behind it.
    """

    def __init__(self, client: TestClient, world: World) -> None:
        self._client = client
        self._world = world
        self.subscription = next(iter(world.subscriptions.values())).id

    def call(self, method: str, path: str, body: object = None, *, version: str | None = None) -> Response:
        """Call a path below the subscription."""
        separator = "&" if "?" in path else "?"
        url = f"/subscriptions/{self.subscription}/{path}{separator}api-version={version or _newest(path)}"
        return self._client.request(method, url, json=body)

    def get(self, path: str, *, version: str | None = None) -> Response:
        """GET a path below the subscription."""
        return self.call("GET", path, version=version)

    def put(self, path: str, body: object, *, version: str | None = None) -> Response:
        """PUT a path below the subscription."""
        return self.call("PUT", path, body, version=version)

    def done(self, answer: Response) -> dict[str, Any]:
        """Let the operation that ``answer`` started run to its end, and read its body."""
        assert answer.status_code < 300, answer.text
        operation = self._world.operations.get(answer.headers["Azure-AsyncOperation"].split("/")[-1].split("?")[0])
        assert operation is not None
        self._world.clock.advance(max(operation.ends - self._world.clock.now(), timedelta(0)))
        body: dict[str, Any] = self._client.get(answer.headers["Azure-AsyncOperation"]).json()
        return body

    def id(self, path: str) -> str:
        """The full id of a path below the subscription."""
        return f"/subscriptions/{self.subscription}/{path}"

    def snapshot_body(self, disk: str = "golden-vm-os", **changes: object) -> dict[str, Any]:
        """A PUT body of an incremental snapshot of a disk of the golden VM."""
        source = self.id(f"{GOLDEN}/disks/{disk}")
        properties = {"creationData": {"createOption": "Copy", "sourceResourceId": source}, "incremental": True}
        return {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "properties": properties, **changes}

    def take_snapshot(self, name: str, disk: str = "golden-vm-os") -> str:
        """The id of a finished snapshot of a disk of the golden VM."""
        self.done(self.put(f"{IMAGES}/snapshots/{name}", self.snapshot_body(disk)))
        return self.id(f"{IMAGES}/snapshots/{name}")

    def image_body(self, os_snapshot: str, data_snapshots: dict[int, str] | None = None) -> dict[str, Any]:
        """A PUT body of a managed image from snapshots."""
        data = [{"lun": lun, "snapshot": {"id": source}} for lun, source in (data_snapshots or {}).items()]
        os_disk = {"osType": "Linux", "osState": "Generalized", "snapshot": {"id": os_snapshot}}
        properties = {"hyperVGeneration": "V2", "storageProfile": {"osDisk": os_disk, "dataDisks": data}}
        return {"location": "westeurope", "properties": properties}

    def make_image(self, name: str = "golden-image") -> str:
        """The id of a finished managed image from a fresh snapshot of the OS disk."""
        self.done(self.put(f"{IMAGES}/images/{name}", self.image_body(self.take_snapshot(f"{name}-os"))))
        return self.id(f"{IMAGES}/images/{name}")

    def disk_body(self, disk: str) -> dict[str, Any]:
        """A PUT body of a copy of a disk of the golden VM."""
        return self.disk_body_of(self.id(f"{GOLDEN}/disks/{disk}"))

    def disk_body_of(self, source: str, option: str = "Copy") -> dict[str, Any]:
        """A PUT body of a disk from a source."""
        creation = {"createOption": option, "sourceResourceId": source}
        return {"location": "westeurope", "sku": {"name": "Premium_LRS"}, "properties": {"creationData": creation}}

    def copy_disk(self, name: str, disk: str) -> str:
        """The id of a finished copy of a disk of the golden VM."""
        self.done(self.put(f"{IMAGES}/disks/{name}", self.disk_body(disk)))
        return self.id(f"{IMAGES}/disks/{name}")

    def interface_body(self, subnet: str = SUBNET) -> dict[str, Any]:
        """A PUT body of a network interface."""
        configuration = {"name": "ipconfig1", "properties": {"subnet": {"id": self.id(subnet)}}}
        return {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}}

    def make_interface(self, name: str) -> str:
        """The id of a finished network interface in the subnet of the sample world."""
        self.done(self.put(f"{NETWORK}/networkInterfaces/{name}", self.interface_body()))
        return self.id(f"{NETWORK}/networkInterfaces/{name}")

    def vm_body(
        self, *, os_disk: str | None = None, data_disks: dict[int, str] | None = None, size: str = "Standard_D4s_v5"
    ) -> dict[str, Any]:
        """A PUT body of a VM that boots from a copy of the golden OS disk, with an interface that exists."""
        os_disk = os_disk or self.copy_disk("clone-os", "golden-vm-os")
        data = [
            {"lun": lun, "createOption": "Attach", "managedDisk": {"id": disk}}
            for lun, disk in (data_disks or {}).items()
        ]
        properties: dict[str, Any] = {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"osDisk": {"createOption": "Attach", "managedDisk": {"id": os_disk}}, "dataDisks": data},
            "networkProfile": {"networkInterfaces": [{"id": self.make_interface("clone-nic")}]},
        }
        return {"location": "westeurope", "properties": properties}

    def make_vm(self, **options: Any) -> str:
        """The id of a finished VM, see :meth:`vm_body`."""
        path = f"{IMAGES}/virtualMachines/clone"
        self.done(self.put(path, self.vm_body(**options)))
        return self.id(path)

    def quota(self, name: str, cores: int) -> None:
        """Set a core quota."""
        self._world.compute.section.core_quotas[name] = cores

    def definition_body(self, **changes: object) -> dict[str, Any]:
        """A PUT body of a definition that fits the golden VM."""
        properties = {
            "osType": "Linux",
            "osState": "Generalized",
            "hyperVGeneration": "V2",
            "identifier": {"publisher": "team", "offer": "golden", "sku": "nightly"},
            "features": [{"name": "SecurityType", "value": "Standard"}],
            **changes,
        }
        return {"location": "westeurope", "properties": properties}

    def make_definition(self, **changes: object) -> str:
        """The id of a finished definition."""
        self.done(self.put(DEFINITION, self.definition_body(**changes)))
        return self.id(DEFINITION)

    def version_body(
        self, source: str, regions: tuple[str, ...] = ("westeurope",), **publishing: object
    ) -> dict[str, Any]:
        """A PUT body of a version from a managed image."""
        targets = [{"name": region, "regionalReplicaCount": 1} for region in regions]
        properties = {
            "storageProfile": {"source": {"id": source}},
            "publishingProfile": {"targetRegions": targets, **publishing},
        }
        return {"location": "westeurope", "properties": properties}


def arm_with_vm(clock: Clock, **changes: Any) -> tuple[Arm, World]:
    """ARM of a sample world whose golden VM differs, and that world.

    :param changes: keys of the VM in the world file.
    """
    content = yaml.safe_load(SAMPLE_WORLD.read_text(encoding="utf-8"))
    content["compute"]["virtual_machines"][0].update(changes)
    world = World(WorldFile.model_validate(content), clock=clock)
    return Arm(TestClient(build_app(world)), world), world


def _newest(path: str) -> str:
    kinds = {"/snapshots": "2026-03-02", "/disks": "2026-03-02", "/galleries": "2026-03-03", "/skus": "2021-07-01"}
    compute = next((version for kind, version in kinds.items() if f"Microsoft.Compute{kind}" in path), "2026-04-01")
    others = "2025-05-01" if "Microsoft.Network" in path else "2024-07-01"
    return compute if "Microsoft.Compute" in path else others
