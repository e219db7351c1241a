"""Microsoft.Batch, data plane: jobs, job schedules, tasks, nodes and their files.

What takes Azure time (disabling a job, deleting it, removing nodes) is only begun here. The SDK's pollers for it poll
in a thread of their own, take failures for success, and cannot be handed to a triggerer: so these calls are sent as
plain requests, and the state is looked at later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from golden_pools.hooks.batch import BAD_NODES, AsyncBatchHook, BatchHook
from golden_pools.hooks.batch_facts import DATA_PLANE_DEALLOCATION, iso_minutes, job, job_schedule, node, task
from golden_pools.hooks.failures import azure_errors, code_of, mask, status_of
from golden_pools.rules import facts
from golden_pools.spec.model import Deallocation, MoveTasks

BATCH_API = "2025-06-01"
"""Version that azure-batch 15.1 speaks."""

JSON = "application/json; odata=minimalmetadata"

MOST_NODES_PER_REMOVAL = 100
"""Nodes that one request may remove (Batch REST reference, "Pool - Remove Nodes")."""

TAIL_BYTES = 8192
"""What is read of a file: the end says how it went."""

_JOB_FIELDS = ["id", "state", "poolInfo", "eTag"]
_SCHEDULE_FIELDS = ["id", "state", "jobSpecification", "eTag"]
_NODE_FIELDS = [
    "id",
    "state",
    "stateTransitionTime",
    "isDedicated",
    "errors",
    "startTaskInfo",
    "virtualMachineInfo",
    "nodeAgentInfo",
]
_TASK_FIELDS = ["id", "state", "executionInfo", "nodeInfo"]


class BatchWorkHook(BatchHook):
    """What a run does with the work that pools are there for, and with single nodes.

    Errors are those of :class:`~golden_pools.hooks.batch.BatchHook`.
    """

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def jobs(self, group: str, account: str, *, pool: str) -> list[facts.Job]:
        """Return the jobs that are bound to a pool by its id and are not over; a job with an auto pool is none."""
        with azure_errors("Could not list the jobs", self._id(group, account)):
            found = [job(item.as_dict()) for item in self._data_plane(group, account).list_jobs(select=_JOB_FIELDS)]
        return [one for one in found if one.pool.casefold() == pool.casefold() and not one.state.is_over]

    def job(self, group: str, account: str, job_id: str) -> facts.Job | None:
        """Return a job, or None where there is none."""
        with azure_errors("Could not read the job", job_id):
            try:
                found = self._data_plane(group, account).get_job(job_id, select=_JOB_FIELDS)
            except HttpResponseError as error:
                if status_of(error) != 404:
                    raise
                return None
        return job(found.as_dict())

    def disable_job(self, group: str, account: str, job_id: str, tasks: MoveTasks) -> None:
        """Begin to disable a job; :class:`facts.Job` shows when it is done. Repeating it may sharpen ``tasks``.

        :param tasks: what becomes of its running tasks
        """
        with azure_errors("Could not disable the job", job_id):
            self._post(group, account, f"/jobs/{quote(job_id)}/disable", {"disableTasks": tasks.value})

    def move_job(self, group: str, account: str, job: facts.Job, pool: str) -> None:
        """Bind a disabled job to another pool; Batch refuses it in any other state."""
        from azure.batch.models import BatchJobUpdateOptions, BatchPoolInfo

        with azure_errors(f"Could not move the job to pool {pool}", job.id):
            self._data_plane(group, account).update_job(
                job.id, BatchJobUpdateOptions(pool_info=BatchPoolInfo(pool_id=pool)), **_unchanged(job.etag)
            )

    def enable_job(self, group: str, account: str, job_id: str) -> None:
        """Let a job run again; one that runs is left as it is."""
        with azure_errors("Could not enable the job", job_id):
            self._post(group, account, f"/jobs/{quote(job_id)}/enable")

    def create_job(self, group: str, account: str, job_id: str, *, pool: str) -> None:
        """Make a job on a pool, or adopt the one that is there.

        :raises AzureRefusedError: the job that is there is bound to another pool, or over
        """
        from azure.batch.models import BatchJobCreateOptions, BatchPoolInfo

        with azure_errors("Could not make the job", job_id):
            try:
                self._data_plane(group, account).create_job(
                    BatchJobCreateOptions(id=job_id, pool_info=BatchPoolInfo(pool_id=pool))
                )
            except HttpResponseError as error:
                there = self.job(group, account, job_id) if code_of(error) == "JobExists" else None
                if there is None or there.state.is_over or there.pool.casefold() != pool.casefold():
                    raise

    def delete_job(self, group: str, account: str, job_id: str) -> None:
        """Begin to delete a job with its tasks; one that is gone or going is left alone."""
        with azure_errors("Could not delete the job", job_id), _unless_gone("JobNotFound", "JobBeingDeleted"):
            self._send(group, account, "DELETE", f"/jobs/{quote(job_id)}")

    # -- job schedules -------------------------------------------------------------------------------------------------

    def job_schedules(self, group: str, account: str, *, pool: str) -> list[facts.JobSchedule]:
        """Return the job schedules whose future jobs are bound to a pool by its id, and that are not over."""
        with azure_errors("Could not list the job schedules", self._id(group, account)):
            schedules = self._data_plane(group, account).list_job_schedules(select=_SCHEDULE_FIELDS)
            found = [job_schedule(item.as_dict()) for item in schedules]
        return [one for one in found if one.pool.casefold() == pool.casefold() and not one.is_over]

    def move_job_schedule(self, group: str, account: str, schedule: facts.JobSchedule, pool: str) -> None:
        """Bind the future jobs of a schedule to another pool; the job that it has made already keeps its own.

        Batch replaces a job specification as a whole, so it is read and sent back with nothing else changed.
        """
        with azure_errors(f"Could not move the job schedule to pool {pool}", schedule.id):
            client = self._data_plane(group, account)
            present = client.get_job_schedule(schedule.id)
            specification = present.job_specification
            specification.pool_info.pool_id = pool
            from azure.batch.models import BatchJobScheduleUpdateOptions

            client.update_job_schedule(
                schedule.id,
                BatchJobScheduleUpdateOptions(job_specification=specification),
                **_unchanged(present.etag or ""),
            )

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def add_task(
        self, group: str, account: str, job_id: str, task_id: str, *, command_line: str, elevated: bool = False
    ) -> None:
        """Add a task to a job, or adopt the one that is there."""
        from azure.batch.models import AutoUserSpecification, BatchTaskCreateOptions, UserIdentity

        user = UserIdentity(
            auto_user=AutoUserSpecification(scope="task", elevation_level="admin" if elevated else "nonadmin")
        )
        with azure_errors(f"Could not add the task {task_id}", job_id), _unless_gone("TaskExists"):
            self._data_plane(group, account).create_task(
                job_id, BatchTaskCreateOptions(id=task_id, command_line=command_line, user_identity=user)
            )

    def tasks(self, group: str, account: str, job_id: str) -> list[facts.Task]:
        """Return the tasks of a job."""
        with azure_errors("Could not list the tasks", job_id):
            return [
                task(item.as_dict())
                for item in self._data_plane(group, account).list_tasks(job_id, select=_TASK_FIELDS)
            ]

    def task_output(self, group: str, account: str, job_id: str, task_id: str, file: str = "stdout.txt") -> str:
        """Return the end of a task's output file, masked; empty where there is none (any more)."""
        with azure_errors("Could not read the output", f"{job_id}/{task_id}"):
            client = self._data_plane(group, account)
            return self._tail(client.get_task_file_properties, client.download_task_file, job_id, task_id, file)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def nodes(self, group: str, account: str, pool: str, *, bad_only: bool = False) -> list[facts.Node]:
        """Return the nodes of a pool.

        :param bad_only: only those that are unusable, unknown, or whose start task failed
        """
        with azure_errors("Could not list the nodes", self._id(group, account, pool)):
            options = {"filter": BAD_NODES} if bad_only else {}
            nodes = self._data_plane(group, account).list_nodes(pool, select=_NODE_FIELDS, **options)
            return [node(item.as_dict()) for item in nodes]

    def reboot_node(self, group: str, account: str, pool: str, node_id: str) -> None:
        """Begin to reboot a node; its tasks go back into the queue."""
        with azure_errors(f"Could not reboot the node {node_id}", self._id(group, account, pool)):
            self._post(
                group, account, f"/pools/{quote(pool)}/nodes/{quote(node_id)}/reboot", {"nodeRebootOption": "requeue"}
            )

    def remove_nodes(
        self,
        group: str,
        account: str,
        pool: str,
        node_ids: Sequence[str],
        *,
        timeout: timedelta,
        deallocation: Deallocation,
    ) -> None:
        """Begin to remove nodes of a steady pool; its targets become smaller by them.

        Batch takes 100 in a request and the pool is not steady after it, so only the first 100 are removed: look again
        when the pool has come to rest.
        """
        body = {
            "nodeList": list(node_ids[:MOST_NODES_PER_REMOVAL]),
            "resizeTimeout": iso_minutes(timeout),
            "nodeDeallocationOption": DATA_PLANE_DEALLOCATION[deallocation],
        }
        with azure_errors(f"Could not remove {len(body['nodeList'])} nodes", self._id(group, account, pool)):
            self._post(group, account, f"/pools/{quote(pool)}/removenodes", body)

    def start_task_output(self, group: str, account: str, pool: str, node_id: str, file: str = "stdout.txt") -> str:
        """Return the end of what a node's start task wrote, masked; empty where there is nothing."""
        with azure_errors("Could not read the start task's output", self._id(group, account, pool)):
            client = self._data_plane(group, account)
            path = (pool, node_id, f"startup/{file}")
            return self._tail(client.get_node_file_properties, client.download_node_file, *path)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _post(self, group: str, account: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        self._send(group, account, "POST", path, body)

    def _send(
        self,
        group: str,
        account: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        request = HttpRequest(
            method,
            path,
            params={"api-version": BATCH_API},
            headers={"Accept": JSON, **({"Content-Type": JSON} if body is not None else {})},
            json=body,
        )
        answer = self._data_plane(group, account).send_request(request)
        if answer.status_code >= 400:
            raise _refusal(answer)

    def _tail(self, properties: Callable[..., Any], download: Callable[..., Any], *path: str) -> str:
        """Return the end of a file on a node; the node, the task or the file may be gone."""
        try:
            length = int(properties(*path).content_length or 0)
            if not length:
                return ""
            content = b"".join(download(*path, ocp_range=f"bytes={max(0, length - TAIL_BYTES)}-{length - 1}"))
        except HttpResponseError as error:
            if status_of(error) in (404, 409):
                return ""
            raise
        return mask(content[-TAIL_BYTES:].decode("utf-8", errors="replace"))


def _refusal(answer: Any) -> HttpResponseError:
    """Return the error of an answer, read as the data plane writes it: ``code``, ``message.value``, ``values``."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    told = SimpleNamespace(
        code=body.get("code"),
        message=str((body.get("message") or {}).get("value") or answer.reason or "").partition("\n")[0],
        details=[
            SimpleNamespace(code=pair.get("key"), message=pair.get("value"), details=None)
            for pair in body.get("values") or ()
        ],
    )
    error = HttpResponseError(message=told.message, response=answer)
    error.error = told if told.code else None
    return error


def _unchanged(etag: str) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}


@contextmanager
def _unless_gone(*codes: str) -> Iterator[None]:
    """Let pass that there is nothing (left) to do."""
    try:
        yield
    except HttpResponseError as error:
        if code_of(error) not in codes:
            raise


class AsyncBatchWorkHook(AsyncBatchHook):
    """What triggers ask of jobs: one call a look, however many jobs are waited for."""

    async def jobs(self, group: str, account: str) -> dict[str, facts.Job]:
        """Return all jobs of an account by lower-case id, those with an auto pool and those that are over too."""
        with azure_errors("Could not list the jobs", self._id(group, account)):
            client = await self._data_plane(group, account)
            found = [job(item.as_dict()) async for item in client.list_jobs(select=_JOB_FIELDS)]
        return {one.id.lower(): one for one in found}

    async def tasks(self, group: str, account: str, job_id: str) -> list[facts.Task]:
        """Return the tasks of a job."""
        with azure_errors("Could not list the tasks", job_id):
            client = await self._data_plane(group, account)
            return [task(item.as_dict()) async for item in client.list_tasks(job_id, select=_TASK_FIELDS)]
