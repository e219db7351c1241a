"""Batch as the tests of the simulator call it, on both planes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from httpx import Response
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.arm_client import VERSION, Arm

API = "2025-06-01"
UBUNTU = {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
AGENT = "batch.node.ubuntu 24.04"


def machine(image: dict[str, Any] | None = None, **changes: object) -> dict[str, Any]:
    """A virtual machine configuration, on Ubuntu unless an image is given."""
    return {"imageReference": image or UBUNTU, "nodeAgentSkuId": AGENT, **changes}


def pool_body(dedicated: int = 0, low_priority: int = 0, **changes: object) -> dict[str, Any]:
    """A PUT body of a pool of ARM."""
    fixed = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": low_priority, "resizeTimeout": "PT15M"}
    properties = {
        "vmSize": "STANDARD_D2S_V5",
        "deploymentConfiguration": {"virtualMachineConfiguration": machine()},
        "scaleSettings": {"fixedScale": fixed},
        **changes,
    }
    return {"properties": properties}


def on_image(image_id: str, dedicated: int = 0, **changes: object) -> dict[str, Any]:
    """A PUT body of a pool on a gallery or managed image."""
    deployment = {"virtualMachineConfiguration": machine({"id": image_id})}
    return pool_body(dedicated, deploymentConfiguration=deployment, **changes)


def scale(dedicated: int | None = None, low_priority: int | None = None, **more: object) -> dict[str, Any]:
    """A PATCH body that resizes a pool; what is None is left out."""
    targets = {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": low_priority, **more}
    return {"properties": {"scaleSettings": {"fixedScale": {k: v for k, v in targets.items() if v is not None}}}}


def refusal(answer: Response) -> tuple[int, str]:
    """Status and code of a refused call, on either plane."""
    body = answer.json()
    return answer.status_code, body["error"]["code"] if "error" in body else body["code"]


def reasons(answer: Response) -> dict[str, str]:
    """The pairs that explain a refusal, on either plane."""
    body = answer.json()
    if "error" in body:
        return {pair["code"]: pair["message"] for pair in body["error"]["details"]}
    return {pair["key"]: pair["value"] for pair in body["values"]}


class Batch:
    """The account of the sample world, on both planes.

    :param client: calls the application.
    :param world: the world behind it.
    """

    def __init__(self, client: TestClient, world: World) -> None:
        self.client = client
        self.world = world
        self.arm = Arm(client, world)
        self.account_path = "resourceGroups/batch/providers/Microsoft.Batch/batchAccounts/goldenbatch"

    # -- ARM -----------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str = "", body: object = None, *, version: str = API, **headers: str) -> Response:
        """Call ARM with a path below the account; header names with underscores."""
        separator = "&" if "?" in path else "?"
        url = f"{self.arm.id(self.account_path)}{path}{separator}api-version={version}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, url, json=body, headers=named)

    def put(self, name: str, body: dict[str, Any], **options: str) -> Response:
        """PUT a pool."""
        return self.call("PUT", f"/pools/{name}", body, **options)

    def patch(self, name: str, body: dict[str, Any], **options: str) -> Response:
        """PATCH a pool."""
        return self.call("PATCH", f"/pools/{name}", body, **options)

    def get(self, name: str) -> dict[str, Any]:
        """The properties of a pool."""
        answer = self.call("GET", f"/pools/{name}")
        assert answer.status_code == 200, answer.text
        properties: dict[str, Any] = answer.json()["properties"]
        return properties

    def make(self, name: str, body: dict[str, Any]) -> None:
        """Make a pool and wait until its nodes are idle."""
        answer = self.put(name, body)
        assert answer.status_code == 200, answer.text
        self.wait(minutes=30)

    # -- data plane ----------------------------------------------------------------------------------------------------

    def plane(self, method: str, path: str, body: object = None, *, version: str = API, **headers: str) -> Response:
        """Call the data plane."""
        separator = "&" if "?" in path else "?"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, f"{path}{separator}api-version={version}", json=body, headers=named)

    def counts(self, name: str, kind: str = "dedicated") -> dict[str, int]:
        """How many nodes of a pool are in each state; states without nodes are left out."""
        value = self.plane("GET", f"/nodecounts?$filter=poolId eq '{name}'").json()["value"][0][kind]
        return {state: number for state, number in value.items() if number}

    def nodes(self, name: str) -> list[dict[str, Any]]:
        """The nodes of a pool."""
        listed: list[dict[str, Any]] = self.plane("GET", f"/pools/{name}/nodes").json()["value"]
        return listed

    # -- the world -----------------------------------------------------------------------------------------------------

    def wait(self, *, minutes: float = 0, seconds: float = 0) -> None:
        """Let simulated time pass."""
        self.world.clock.advance(timedelta(minutes=minutes, seconds=seconds))

    def change(self, **settings: object) -> None:
        """Change settings of the Batch part."""
        answer = self.client.patch("/_simulator/settings", json={"batch": settings})
        assert answer.status_code == 200, answer.text

    def script(self, **script: object) -> Response:
        """Script an allocation or an incident."""
        return self.client.post("/_simulator/allocations", json=script)

    def command(self, **script: object) -> Response:
        """Script what the next commands come to."""
        return self.client.post("/_simulator/commands", json=script)

    def add_task(self, name: str, command_line: str = "true", *, job: str = "work", **more: object) -> None:
        """Add a task to a job."""
        answer = self.plane("POST", f"/jobs/{job}/tasks", {"id": name, "commandLine": command_line, **more})
        assert answer.status_code == 201, answer.text

    def task(self, name: str, job: str = "work") -> dict[str, Any]:
        """A task."""
        found: dict[str, Any] = self.plane("GET", f"/jobs/{job}/tasks/{name}").json()
        return found

    def make_version(self, **definition: object) -> str:
        """The id of a gallery version that is ready in the region of the account."""
        source = self.arm.take_snapshot("batch-os")
        self.arm.make_definition(**definition)
        body = self.arm.version_body(source)
        body["properties"]["storageProfile"] = {"osDiskImage": {"source": {"id": source}}}
        self.arm.done(self.arm.put(VERSION, body))
        return self.arm.id(VERSION)
