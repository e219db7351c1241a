"""Microsoft.Batch, data plane: jobs, job schedules, tasks, nodes and their files.

What takes Azure time (disabling a job, deleting it, removing nodes) is only begun here. The SDK's pollers for it poll
in a thread of their own, take failures for success, and cannot be handed to a triggerer: so these calls are sent as
plain requests, and the state is looked at later. A call that says that it is done already is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest

from golden_pools.errors import AzureBusyError, ConflictError
from golden_pools.hooks.batch import AsyncBatchHook, BatchHook
from golden_pools.hooks.batch_facts import DATA_PLANE_DEALLOCATION, iso_minutes, job, job_schedule, node, task
from golden_pools.hooks.failures import azure_errors, code_of, mask, status_of
from golden_pools.rules import facts
from golden_pools.spec.model import Deallocation, MoveTasks
from golden_pools.words import counted

BATCH_API = "2025-06-01"
"""Version that azure-batch 15.1 speaks."""

JSON = "application/json; odata=minimalmetadata"

MOST_NODES_PER_REMOVAL = 100
"""Nodes that one request may remove (Batch REST reference, "Pool - Remove Nodes")."""

TAIL_BYTES = 8192
"""What is told of a file: the end says how it went. As much again is read ahead of it, so that a secret that begins
before the cut is still seen as one."""

NO_FILE = (404, 409, 416)
"""Statuses that say that a file cannot be had: node, task or file is gone, the node does not answer, the task has not
begun, or the file has become shorter meanwhile ("Batch status and error codes")."""

LIVE_JOBS = " or ".join(f"state eq '{state}'" for state in facts.JobState if not state.is_over)
LIVE_SCHEDULES = "state eq 'active' or state eq 'disabled'"
"""Filters of lists. Those by pool stand not here: Batch filters jobs by the pool that they last ran on and in the case
that was once typed, and job schedules not at all ("OData filters in Azure Batch")."""

BAD_NODES = "state eq 'unusable' or state eq 'starttaskfailed' or state eq 'unknown'"

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
            listed = self._data_plane(group, account).list_jobs(filter=LIVE_JOBS, select=_JOB_FIELDS)
            found = [job(item.as_dict()) for item in listed]
        return [one for one in found if _same(one.pool, pool)]

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
        """Begin to disable a job; its state says when it is done. Asked again, with other ``tasks``, it may be quicker.

        :param tasks: what becomes of its running tasks
        """
        with azure_errors("Could not disable the job", job_id):
            self._post(group, account, f"/jobs/{quote(job_id)}/disable", {"disableTasks": tasks.value})

    def move_job(self, group: str, account: str, job: facts.Job, pool: str) -> None:
        """Bind a disabled job to another pool; Batch refuses it in any other state. One that is there is left alone.

        :raises ConflictError: the job has changed since it was looked at
        """
        from azure.batch.models import BatchJobUpdateOptions, BatchPoolInfo

        if _same(job.pool, pool):
            return
        with azure_errors(f"Could not move the job to pool {pool}", job.id):
            self._data_plane(group, account).update_job(
                job.id, BatchJobUpdateOptions(pool_info=BatchPoolInfo(pool_id=pool)), **_unchanged(job.etag)
            )

    def enable_job(self, group: str, account: str, job_id: str) -> None:
        """Let a job run again; one that runs is left as it is."""
        with azure_errors("Could not enable the job", job_id):
            try:
                self._post(group, account, f"/jobs/{quote(job_id)}/enable")
            except HttpResponseError as error:
                # Whether Batch takes it of a job that is active already is not documented.
                there = self.job(group, account, job_id) if status_of(error) == 409 else None
                if there is None or there.state not in (facts.JobState.ACTIVE, facts.JobState.ENABLING):
                    raise

    def create_job(self, group: str, account: str, job_id: str, *, pool: str, priority: int = 0) -> None:
        """Make a job on a pool, or adopt the one that is there.

        :param priority: -1000 to 1000; tasks of a higher one are the first to get a node that becomes free
        :raises AzureRefusedError: the job that is there is bound to another pool, or over
        :raises AzureBusyError: it is being deleted, or the account has no room for another job at the moment
        """
        from azure.batch.models import BatchJobCreateOptions, BatchPoolInfo

        with azure_errors("Could not make the job", job_id):
            try:
                self._data_plane(group, account).create_job(
                    BatchJobCreateOptions(id=job_id, pool_info=BatchPoolInfo(pool_id=pool), priority=priority)
                )
            except HttpResponseError as error:
                if code_of(error) not in ("JobExists", "JobBeingDeleted"):
                    raise
                there = self.job(group, account, job_id)
                if there is None or there.state is facts.JobState.DELETING:
                    raise AzureBusyError(
                        "Could not make the job: one of this id is still being deleted",
                        resource=job_id,
                        advice="nothing: it is tried again by itself",
                    ) from error
                if there.state.is_over or not _same(there.pool, pool):
                    raise

    def delete_job(self, group: str, account: str, job_id: str) -> None:
        """Begin to delete a job with its tasks; one that is gone or going is left alone."""
        with azure_errors("Could not delete the job", job_id), _done_already(404, "JobBeingDeleted"):
            self._send(group, account, "DELETE", f"/jobs/{quote(job_id)}")

    # -- job schedules -------------------------------------------------------------------------------------------------

    def job_schedules(self, group: str, account: str, *, pool: str) -> list[facts.JobSchedule]:
        """Return the job schedules whose future jobs are bound to a pool by its id, and that are not over."""
        with azure_errors("Could not list the job schedules", self._id(group, account)):
            listed = self._data_plane(group, account).list_job_schedules(filter=LIVE_SCHEDULES, select=_SCHEDULE_FIELDS)
            found = [job_schedule(item.as_dict()) for item in listed]
        return [one for one in found if _same(one.pool, pool)]

    def move_job_schedule(self, group: str, account: str, schedule: facts.JobSchedule, pool: str) -> None:
        """Bind the future jobs of a schedule to another pool; the job that it has made already keeps its own.

        Batch replaces a job specification as a whole, so it is read and sent back with nothing else changed. It may
        hold secrets (environment, links to files) and is neither logged nor kept.

        :raises ConflictError: somebody has bound it to yet another pool, or changes it at this moment
        """
        from azure.batch.models import BatchJobScheduleUpdateOptions

        with azure_errors(f"Could not move the job schedule to pool {pool}", schedule.id):
            client = self._data_plane(group, account)
            present = client.get_job_schedule(schedule.id)
            specification = present.job_specification
            bound_to = specification.pool_info.pool_id or ""
            if _same(bound_to, pool):
                return
            if not _same(bound_to, schedule.pool):
                raise ConflictError(
                    f"Could not move the job schedule to pool {pool}: it was bound to {schedule.pool} and is not now",
                    resource=schedule.id,
                    answer=f"bound to {bound_to or 'a pool of its own'}",
                    advice="look at who changed it; start again to look anew",
                )
            specification.pool_info.pool_id = pool
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
        with azure_errors(f"Could not add the task {task_id}", job_id), _done_already("TaskExists"):
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

    def task_output(
        self,
        group: str,
        account: str,
        job_id: str,
        task_id: str,
        file: str = "stdout.txt",
        *,
        most_bytes: int = TAIL_BYTES,
    ) -> str:
        """Return the end of a task's output file, masked; empty where there is none (any more)."""
        with azure_errors("Could not read the output", f"{job_id}/{task_id}"):
            client = self._data_plane(group, account)
            path = (job_id, task_id, file)
            return self._tail(client.get_task_file_properties, client.download_task_file, *path, most_bytes=most_bytes)

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
        """Begin to reboot a node; its tasks go back into the queue. One that is rebooting is left alone.

        :raises AzureRefusedError: ``NodeStateUnusable``, among others: Batch's pages promise a reboot of idle and
            running nodes only
        """
        path = f"/pools/{quote(pool)}/nodes/{quote(node_id)}/reboot"
        what = f"Could not reboot the node {node_id}"
        with azure_errors(what, self._id(group, account, pool)), _done_already("NodeBeingRebooted"):
            self._post(group, account, path, {"nodeRebootOption": "requeue"})

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

        :param timeout: time for the removal, at least 5 minutes, whole minutes
        :param deallocation: what happens to running tasks of these nodes
        :raises AzureBusyError: the pool is not steady
        """
        body = {
            "nodeList": list(node_ids[:MOST_NODES_PER_REMOVAL]),
            "resizeTimeout": iso_minutes(timeout),
            "nodeDeallocationOption": DATA_PLANE_DEALLOCATION[deallocation],
        }
        with azure_errors(f"Could not remove {counted(len(body['nodeList']), 'node')}", self._id(group, account, pool)):
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
        # The SDK's client raises on every status that is no success, from a policy of its own.
        self._data_plane(group, account).send_request(request)

    def _tail(
        self, properties: Callable[..., Any], download: Callable[..., Any], *path: str, most_bytes: int = TAIL_BYTES
    ) -> str:
        """Return the end of a file on a node, masked; empty where it cannot be had."""
        content = b""
        with _done_already(*NO_FILE):
            length = int(properties(*path).content_length or 0)
            if length:
                part = f"bytes={max(0, length - 2 * most_bytes)}-{length - 1}"
                for chunk in download(*path, ocp_range=part):
                    content = (content + chunk)[-2 * most_bytes :]
        return mask(content.decode("utf-8", errors="replace"))[-most_bytes:]


def _same(one: str, other: str) -> bool:
    """Return whether two ids of pools are one: Batch keeps their case and does not look at it."""
    return one.casefold() == other.casefold()


def _unchanged(etag: str) -> dict[str, Any]:
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}


@contextmanager
def _done_already(*answers: str | int) -> Iterator[None]:
    """Let refusals pass that say that there is nothing (left) to do.

    :param answers: error codes, or HTTP statuses
    """
    try:
        yield
    except HttpResponseError as error:
        if code_of(error) not in answers and status_of(error) not in answers:
            raise


class AsyncBatchWorkHook(AsyncBatchHook):
    """What triggers ask of jobs: one list a look, however many jobs are waited for."""

    async def jobs(self, group: str, account: str) -> dict[str, facts.Job]:
        """Return the jobs of an account that are not over, by lower-case id; those with an auto pool too."""
        with azure_errors("Could not list the jobs", self._id(group, account)):
            client = await self._data_plane(group, account)
            listed = client.list_jobs(filter=LIVE_JOBS, select=_JOB_FIELDS)
            found = [job(item.as_dict()) async for item in listed]
        return {one.id.lower(): one for one in found}

    async def tasks(self, group: str, account: str, job_id: str) -> list[facts.Task]:
        """Return the tasks of a job."""
        with azure_errors("Could not list the tasks", job_id):
            client = await self._data_plane(group, account)
            return [task(item.as_dict()) async for item in client.list_tasks(job_id, select=_TASK_FIELDS)]
