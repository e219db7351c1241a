"""Whatever users do to a pool, and whenever they look: its numbers agree with each other."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from include.azure_simulator.world import World
from tests.azure_simulator.batch_client import Batch, pool_body, scale

STEPS = 80
SLOTS = 2


class Walk:
    """Random things that users and Azure do to one pool and one job.

    :param batch: the account.
    :param dice: decides what is next.
    """

    def __init__(self, batch: Batch, dice: random.Random) -> None:
        self.batch = batch
        self.dice = dice
        self.tasks = 0
        batch.client.patch("/_simulator/settings", json={"throttling": {"enabled": False}})
        batch.put("p", pool_body(2, 1, taskSlotsPerNode=SLOTS))
        batch.plane("POST", "/jobs", {"id": "j", "poolInfo": {"poolId": "p"}})

    def step(self) -> None:
        """Do something, then let time pass."""
        steps: list[Callable[[], None]] = [self.resize, self.stop, self.add_task, self.incident, self.script]
        steps += [self.touch_node, self.remove_nodes, self.command, self.disable_job, self.enable_job, self.replace]
        self.dice.choice(steps)()
        self.batch.wait(seconds=self.dice.choice([1, 10, 60, 600, 4000]))

    def resize(self) -> None:
        option = self.dice.choice(["Requeue", "Terminate", "TaskCompletion"])
        targets = self.dice.randrange(6), self.dice.randrange(4)
        self.batch.patch("p", scale(*targets, nodeDeallocationOption=option, resizeTimeout="PT5M"))

    def stop(self) -> None:
        self.batch.call("POST", "/pools/p/stopResize")

    def replace(self) -> None:
        self.batch.put("p", pool_body(2, 1, taskSlotsPerNode=SLOTS))

    def add_task(self) -> None:
        self.tasks += 1
        command, slots = f"sleep {self.dice.randrange(1, 900)}", self.dice.randrange(1, SLOTS + 1)
        limits = {"maxTaskRetryCount": self.dice.randrange(3), "maxWallClockTime": "PT1H"}
        body = {"id": f"t{self.tasks}", "commandLine": command, "requiredSlots": slots, "constraints": limits}
        self.batch.plane("POST", "/jobs/j/tasks", body)

    def incident(self) -> None:
        state = self.dice.choice(["preempted", "unusable", "unknown"])
        recovery = {"recovers_after": "PT5M"} if self.dice.random() < 0.5 else {}
        self.batch.script(pool="p", incident={"state": state, "nodes": self.dice.randrange(1, 3), **recovery})

    def script(self) -> None:
        preempt = {"nodes": 1, "after": "PT3M", "recovers_after": "PT2M"}
        bad = [{"state": "unusable", "share": 0.5, "cured_by_reboots": 1}]
        scripts = [{"max_dedicated_nodes": 2}, {"error": {"code": "X"}}, {"preempt": preempt}, {"node_outcomes": bad}]
        scripts += [{"max_new_nodes": 1}]
        self.batch.script(pool="p", **self.dice.choice(scripts))

    def touch_node(self) -> None:
        if nodes := self.batch.nodes("p"):
            action = self.dice.choice(["reboot", "disablescheduling", "enablescheduling"])
            self.batch.plane("POST", f"/pools/p/nodes/{self.dice.choice(nodes)['id']}/{action}", {})

    def remove_nodes(self) -> None:
        if names := [node["id"] for node in self.batch.nodes("p")]:
            option = self.dice.choice(["requeue", "terminate", "taskcompletion"])
            chosen = self.dice.sample(names, self.dice.randrange(1, len(names) + 1))
            body = {"nodeList": chosen, "nodeDeallocationOption": option, "resizeTimeout": "PT5M"}
            self.batch.plane("POST", "/pools/p/removenodes", body)

    def command(self) -> None:
        count, code = self.dice.randrange(1, 4), self.dice.randrange(2)
        self.batch.command(pool="p*", count=count, exit_code=code, duration=f"PT{self.dice.randrange(1, 90)}M")

    def disable_job(self) -> None:
        option = self.dice.choice(["requeue", "terminate", "wait"])
        self.batch.plane("POST", "/jobs/j/disable", {"disableTasks": option})

    def enable_job(self) -> None:
        self.batch.plane("POST", "/jobs/j/enable")

    def check(self) -> None:
        """The two planes, the counts, the nodes and the tasks tell one story."""
        pool, nodes = self.batch.get("p"), self.batch.nodes("p")
        tasks = self.batch.plane("GET", "/jobs/j/tasks").json()["value"]
        dedicated = sum(node["isDedicated"] for node in nodes)
        assert pool["currentDedicatedNodes"] == self.batch.counts("p").get("total", 0) == dedicated
        spot = self.batch.counts("p", "lowPriority").get("total", 0)
        assert pool["currentLowPriorityNodes"] == spot == len(nodes) - dedicated
        running = sum(task["state"] == "running" for task in tasks)
        assert sum(node["runningTasksCount"] for node in nodes) == running
        assert all(node["runningTaskSlotsCount"] <= SLOTS for node in nodes)
        assert all((node["state"] == "running") == (node["runningTasksCount"] > 0) for node in nodes)
        status = pool["resizeOperationStatus"]
        if pool["allocationState"] == "Steady" and "errors" not in status:
            current = (pool["currentDedicatedNodes"], pool["currentLowPriorityNodes"])
            assert current == (status["targetDedicatedNodes"], status["targetLowPriorityNodes"])


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_of_a_pool_always_agree(client: TestClient, world: World, seed: int) -> None:
    walk = Walk(Batch(client, world), random.Random(seed))
    for _ in range(STEPS):
        walk.step()
        walk.check()
