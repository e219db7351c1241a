"""Stages ``stop_golden_vm`` and ``start_golden_vm``: the golden VM comes to rest for its snapshots, and runs again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from golden_pools.errors import AzureBusyError, OwnershipError
from golden_pools.links.portal import GoldenVmLink
from golden_pools.operators.base import PREFLIGHT_TASK_ID, StageOperator, StateStore, pulled
from golden_pools.rules.capture import AT_REST, found_state
from golden_pools.rules.facts import PowerState
from golden_pools.rules.plan import RunPlan, made_by, owner_of
from golden_pools.spec.source import Capture

if TYPE_CHECKING:
    from airflow.sdk import Context

    from golden_pools.rules.facts import GoldenVm

POWER_TIME = timedelta(minutes=30)
"""Longest wait for a VM to stop or start; minutes are usual."""

FOUND_KEY = "found"
"""XCom key under which the task that stops the golden VM leaves the power state in which it found it."""


class ImageStageOperator(StageOperator):
    """A stage of the image group: skipped when the run uses a version that is there."""

    def plan_for_building(self, context: Context) -> RunPlan:
        """Return the run plan, or skip."""
        plan = self.plan_for_writing(context)
        if not plan.builds_image:
            why = f": {plan.source.reason}" if plan.source else ""
            raise AirflowSkipException(f"the run uses the existing version {plan.version_id}{why}")
        return plan


class StopGoldenVmOperator(ImageStageOperator):
    """Bring the golden VM to rest where the spec's ``capture`` asks for it; one that is at rest stays as it is.

    The power state in which it was found is kept before anything is done, in the task's store and in its XCom, for the
    task that gives it back.
    """

    ui_color = "#e8f0e4"
    operator_extra_links = (GoldenVmLink(),)

    def execute(self, context: Context) -> None:
        """Stop the VM and wait for it; do nothing where nothing is to be stopped."""
        from golden_pools.hooks.operations import PendingOperation

        plan = self.plan_for_building(context)
        vm, store = plan.golden_vm, StateStore(context, plan.stem)
        if not vm.capture.stops:
            self.log.info("Golden VM %s stays as it is (capture: %s)", vm.name, vm.capture)
            return
        found = store.read().get("found")
        if found:  # by an earlier try, whose XCom is gone
            context["ti"].xcom_push(key=FOUND_KEY, value=found)
        with self.compute(plan) as hook:
            seen = hook.golden_vm(vm.resource_group, vm.name)
            check_state_is_told(seen)
            if not found:
                found = store.keep(found=found_state(seen.power_state).value)["found"]
                context["ti"].xcom_push(key=FOUND_KEY, value=found)
            if seen.power_state in AT_REST:
                self.log.info("Golden VM %s is %s already", vm.name, seen.power_state)
                return
            self.log.info(
                "Golden VM %s is %s: bringing it to rest (capture: %s)", vm.name, seen.power_state, vm.capture
            )
            if seen.power_state in (PowerState.STOPPING, PowerState.DEALLOCATING):
                operation = PendingOperation(what=f"stop VM {vm.name}", resource_id=seen.id)
            elif vm.capture is Capture.STOPPED:
                operation = hook.begin_power_off(vm.resource_group, vm.name)
            else:
                operation = hook.begin_deallocate(vm.resource_group, vm.name)
        self.wait_for_operations(plan, [operation], within=POWER_TIME)


class StartGoldenVmOperator(StageOperator):
    """Teardown: give the golden VM the power state back in which this run found it, whatever happened since.

    A VM at rest was left as it was, so the one thing to give back is a start: to a VM that ran.

    :param stop_task_id: task that has found it
    """

    ui_color = "#e8f0e4"
    operator_extra_links = (GoldenVmLink(),)

    def __init__(self, *, stop_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stop_task_id = stop_task_id

    def execute(self, context: Context) -> None:
        """Start the VM if it ran before the run and does not now."""
        from golden_pools.hooks.operations import PendingOperation

        plan = self.plan_for_writing(context)
        vm = plan.golden_vm
        if not vm.capture.stops:
            raise AirflowSkipException(f"this run does not stop the golden VM (capture: {vm.capture})")
        if not plan.builds_image:
            raise AirflowSkipException(f"this run makes no image, so it has not stopped golden VM {vm.name}")
        if (found := self._found(context)) != PowerState.RUNNING:
            raise AirflowSkipException(
                f"the golden VM was {found} before this run, and so it stays"
                if found
                else "the run did not get as far as the golden VM"
            )
        with self.compute(plan) as hook:
            seen = hook.golden_vm(vm.resource_group, vm.name)
            if seen.power_state is PowerState.RUNNING:
                self.log.info("Golden VM %s runs already", vm.name)
                return
            self.log.info("Golden VM %s is %s: starting it, since it ran before", vm.name, seen.power_state)
            if seen.power_state is PowerState.STARTING:
                operation = PendingOperation(what=f"start VM {vm.name}", resource_id=seen.id)
            else:
                operation = hook.begin_start(vm.resource_group, vm.name)
        self.wait_for_operations(plan, [operation], within=POWER_TIME)

    def _found(self, context: Context) -> str | None:
        """Return the power state that the VM had; what preflight saw where the task that stops it could not tell."""
        found = context["ti"].xcom_pull(task_ids=self.stop_task_id, key=FOUND_KEY)
        if found:
            return str(found)
        looked = pulled(context, PREFLIGHT_TASK_ID)
        return PowerState.RUNNING.value if looked and looked["golden_vm_was_running"] else None


def check_state_is_told(vm: GoldenVm) -> None:
    """Refuse to stop a VM of which Azure does not say whether it runs: nobody could give its state back.

    :raises AzureBusyError: the state may be told a little later
    """
    if vm.power_state is PowerState.UNKNOWN:
        raise AzureBusyError(
            "Azure does not tell the power state of the golden VM, so nothing is done to it",
            resource=vm.id,
            answer="no PowerState among the statuses of its instance view",
            advice="nothing: it is tried again by itself; if it lasts, look at the VM's health in the portal",
        )


def check_is_at_rest(plan: RunPlan, vm: GoldenVm) -> None:
    """Refuse to copy the disks of a VM that was to be stopped for it and runs: they would not show one moment.

    :raises OwnershipError: somebody started it after this run had stopped it
    """
    if plan.golden_vm.capture.stops and vm.power_state not in AT_REST:
        raise OwnershipError(
            "The golden VM is not at rest any more",
            resource=vm.id,
            answer=f"it is {vm.power_state}",
            advice="a person or another pool's run started it; clear the task stop_golden_vm with what follows it, "
            "and let pools that share a golden VM start at different times",
        )


def check_is_ours(plan: RunPlan, what: str, resource_id: str, tags: Mapping[str, str]) -> None:
    """Refuse to adopt what another run or a person made under the name that this run needs.

    :raises OwnershipError: naming both owners
    """
    if not made_by(plan, tags):
        raise OwnershipError(
            f"There is already a {what} under the name that this run needs",
            resource=resource_id,
            answer=f"it belongs to {owner_of(tags)}, not to run {plan.run_id} of DAG {plan.dag_id}",
            advice="trigger a new run (it gets a name of its own), or delete the resource if nobody needs it",
        )
