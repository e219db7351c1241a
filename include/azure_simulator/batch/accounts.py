"""Batch accounts: quotas, and the pools, jobs and job schedules that live in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from include.azure_simulator.batch.autoscale import AutoScaleRun, evaluate
from include.azure_simulator.batch.commands import Command, CommandRun, Commands
from include.azure_simulator.batch.errors import BatchServiceError, not_found
from include.azure_simulator.batch.growth import plan_new_nodes
from include.azure_simulator.batch.images import ImageRules, SupportedImage
from include.azure_simulator.batch.jobs import Job, JobState
from include.azure_simulator.batch.pool_spec import DEFAULT_RESIZE_TIMEOUT, NodeDeallocationOption
from include.azure_simulator.batch.pools import Pool, Targets
from include.azure_simulator.batch.schedules import JobSchedule, ScheduleState
from include.azure_simulator.batch.scripts import IncidentScript, ResizeScript
from include.azure_simulator.batch.section import AccountSection
from include.azure_simulator.batch.settings import BatchSettings
from include.azure_simulator.batch.tasks import Task, finish_tasks, schedule_tasks
from include.azure_simulator.compute.sizes import VmSize
from include.azure_simulator.resources import ResourceId, new_etag, normalise_region
from include.azure_simulator.script_queue import ScriptQueue

if TYPE_CHECKING:
    from include.azure_simulator.world import World


@dataclass(slots=True)
class Deletion:
    """A pool deletion that ARM's operation results still know: its key and when the pool is gone."""

    key: str
    ends: datetime


@dataclass(slots=True)
class BatchAccount:
    """A Batch account with everything in it. Names compare without case; keys of the dictionaries are lower case."""

    world: World
    facts: AccountSection
    supported_images: tuple[SupportedImage, ...]
    pools: dict[str, Pool] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    schedules: dict[str, JobSchedule] = field(default_factory=dict)
    deletions: dict[str, Deletion] = field(default_factory=dict)
    etag: str = field(default_factory=new_etag)
    resize_scripts: ScriptQueue[ResizeScript] = field(default_factory=ScriptQueue)
    commands: Commands = field(default_factory=Commands)

    @property
    def name(self) -> str:
        """The account's name."""
        return self.facts.name

    @property
    def id(self) -> ResourceId:
        """The ARM id."""
        return ResourceId(
            self.facts.subscription, self.facts.resource_group, "Microsoft.Batch", ("batchAccounts",), (self.name,)
        )

    @property
    def location(self) -> str:
        """The region, normalised."""
        return normalise_region(self.facts.location)

    @property
    def settings(self) -> BatchSettings:
        """The settings of now."""
        return self.world.settings.batch

    @property
    def user_subscription(self) -> bool:
        """Whether nodes live in the user's subscription and Batch quotas do not apply."""
        return self.facts.pool_allocation_mode == "UserSubscription"

    @property
    def images(self) -> ImageRules:
        """The rules of images in this account's region."""
        return ImageRules(self.world, self.location, self.supported_images)

    def vm_size(self, name: str) -> VmSize | None:
        """A VM size of the account's region."""
        return self.world.compute.vm_sizes(self.location).get(name.lower())

    # -- look-ups ------------------------------------------------------------------------------------------------------

    def pool(self, name: str) -> Pool:
        """The pool with this id.

        :raises BatchServiceError: 404 ``PoolNotFound``.
        """
        if (found := self.pools.get(name.lower())) is None:
            missing = not_found("Pool")
            raise BatchServiceError(
                missing.status, missing.code, missing.message, arm_code=self.settings.arm_pool_not_found_code
            )
        return found

    def job(self, job_id: str) -> Job:
        """The job with this id.

        :raises BatchServiceError: 404 ``JobNotFound``.
        """
        if (found := self.jobs.get(job_id.lower())) is None:
            raise not_found("Job")
        return found

    def schedule(self, schedule_id: str) -> JobSchedule:
        """The job schedule with this id.

        :raises BatchServiceError: 404 ``JobScheduleNotFound``.
        """
        if (found := self.schedules.get(schedule_id.lower())) is None:
            raise not_found("JobSchedule")
        return found

    def check_job_quota(self) -> None:
        """Refuse a further job or job schedule beyond the quota.

        :raises BatchServiceError: 409 ``ActiveJobAndScheduleQuotaReached``.
        """
        active = sum(job.state is not JobState.COMPLETED for job in self.jobs.values())
        active += sum(schedule.state is ScheduleState.ACTIVE for schedule in self.schedules.values())
        if active >= self.facts.active_job_and_job_schedule_quota:
            raise BatchServiceError(
                409,
                "ActiveJobAndScheduleQuotaReached",
                "The account has reached its quota of active jobs and schedules.",
            )

    # -- resizes -------------------------------------------------------------------------------------------------------

    def cores_reserved(self, *, dedicated: bool, family: str | None = None, besides: Pool) -> int:
        """Cores that the nodes of all other pools use or are about to use."""
        cores = 0
        for pool in self.pools.values():
            size = self.vm_size(pool.spec.vm_size)
            if pool is besides or size is None or (family is not None and size.family.lower() != family.lower()):
                continue
            cores += size.vcpus * pool.reserved(dedicated=dedicated)
        return cores

    def resize(
        self,
        pool: Pool,
        now: datetime,
        targets: Targets,
        option: NodeDeallocationOption | None = None,
    ) -> None:
        """Bring a pool to ``targets`` with the timeout of its scale settings."""
        fixed = pool.spec.scale_settings.fixed_scale
        timeout = fixed.resize_timeout if fixed is not None else DEFAULT_RESIZE_TIMEOUT
        new = plan_new_nodes(self, pool, targets, now, timeout)
        pool.start_resize(now, targets, timeout, option, new, self.settings)

    def apply_incident(self, script: IncidentScript, now: datetime) -> int:
        """Let something happen to nodes of the pools that are meant; returns to how many.

        :raises BatchServiceError: 404 ``PoolNotFound`` when no pool is meant.
        """
        meant = [pool for pool in self.pools.values() if script.concerns(pool.name)]
        if not meant:
            raise not_found("Pool")
        return sum(pool.apply_incident(script.incident, now, self.settings) for pool in meant)

    # -- time ----------------------------------------------------------------------------------------------------------

    def settle(self, now: datetime) -> None:
        """Bring everything in the account to ``now``."""
        for job in self.jobs.values():
            finish_tasks(job.tasks.values(), now)
        for pool in self.pools.values():
            pool.settle(now, self.settings)
        self._run_jobs(now)
        for pool in list(self.pools.values()):
            pool.settle(now, self.settings)
            self._auto_scale(pool, now)
            if pool.gone_at is not None and now >= pool.gone_at:
                del self.pools[pool.name.lower()]

    def _run_jobs(self, now: datetime) -> None:
        for schedule in self.schedules.values():
            current = self.jobs.get((schedule.job_id or "").lower())
            if (job := schedule.due_job(now, current)) is not None:
                self.jobs[job.id.lower()] = job
        for job in self.jobs.values():
            job.settle(now)
        for pool in self.pools.values():
            if not pool.deleting:
                self._give_tasks(pool, now)
        for job in list(self.jobs.values()):
            job.settle(now)
            if job.gone(now):
                del self.jobs[job.id.lower()]

    def _give_tasks(self, pool: Pool, now: datetime) -> None:
        jobs = [job for job in self.jobs.values() if (job.pool_name or "").lower() == pool.name.lower()]
        jobs.sort(key=lambda job: -job.priority)
        waiting = [waiting for job in jobs for waiting in job.waiting_tasks()]
        if waiting:

            def run(task: Task) -> CommandRun:
                command = Command(pool.name, task.command_line, task.id, task.max_retries)
                return self.commands.run(command, default=self.settings.task_duration)

            schedule_tasks(waiting, pool.nodes, pool.spec.task_slots_per_node, pool.name, now, run)

    def _auto_scale(self, pool: Pool, now: datetime) -> None:
        """Evaluate the formula of a pool when its interval is over; a pool that is being resized waits."""
        scale = pool.spec.scale_settings.auto_scale
        if scale is None or pool.deleting or not pool.steady or pool.auto_scale_enabled_at is None:
            return
        rounds = (now - pool.auto_scale_enabled_at) // scale.evaluation_interval
        due = pool.auto_scale_enabled_at + rounds * scale.evaluation_interval
        if pool.auto_scale_run is not None and pool.auto_scale_run.at >= due:
            return
        run = self.evaluate_formula(pool, scale.formula, due)
        pool.auto_scale_run = run
        targets = Targets(run.dedicated, run.low_priority)
        present = Targets(pool.current(dedicated=True), pool.current(dedicated=False))
        if run.error is None and targets != present:
            self.resize(pool, now, targets, NodeDeallocationOption(run.option))

    def evaluate_formula(self, pool: Pool | None, formula: str, at: datetime) -> AutoScaleRun:
        """What a formula asks for now; an evaluation that fails is an answer too."""
        present = Targets(0, 0)
        if pool is not None:
            present = Targets(pool.current(dedicated=True), pool.current(dedicated=False))
        variables = {
            "CurrentDedicatedNodes": present.dedicated,
            "CurrentLowPriorityNodes": present.low_priority,
        }
        try:
            return evaluate(formula, at, variables)
        except BatchServiceError as error:
            return AutoScaleRun(at, present.dedicated, present.low_priority, "requeue", "", error)
