"""The task group ``image``: what a spec's source needs to become an image version."""

from __future__ import annotations

from functools import partial

from airflow.sdk import BaseOperator, TaskGroup, TriggerRule, chain

from golden_pools.operators.clone import CloneVmOperator, GeneralizeCloneOperator, RemoveCloneOperator
from golden_pools.operators.gallery import PublishImageVersionOperator
from golden_pools.operators.golden_vm import StartGoldenVmOperator, StopGoldenVmOperator
from golden_pools.operators.image import CreateManagedImageOperator
from golden_pools.operators.restore_point import RemoveRestorePointOperator, RestorePointOperator
from golden_pools.operators.snapshots import SnapshotGoldenVmOperator
from golden_pools.spec.model import PoolSpec
from golden_pools.spec.source import Capture, Generalize


def source_in_words(spec: PoolSpec) -> str:
    """Return where the spec's image comes from."""
    if spec.golden_vm is not None:
        return f"golden VM {spec.golden_vm.name}"
    if spec.image.source.follow is not None:
        return f"the image of {spec.image.source.follow.pool}"
    return str(spec.image.source.kind).replace("_", " ")


def image_group(spec: PoolSpec, before: BaseOperator) -> BaseOperator:
    """Add what the spec's source needs to become an image version, after the task ``before``; returns its last task."""
    with TaskGroup("image", tooltip=f"{source_in_words(spec)} to image version"):
        snapshot = _snapshot_stages(spec.golden_vm.capture, before) if spec.golden_vm else None
        captured, clone = snapshot or before, None
        if snapshot and spec.golden_vm and spec.golden_vm.generalize is Generalize.CLONE:
            captured = clone = _clone_stages(snapshot)
        managed_image = CreateManagedImageOperator(
            task_id="managed_image",
            snapshot_task_id=snapshot.task_id if snapshot else None,
            clone_task_id=clone.task_id if clone else None,
            doc_md="Skipped where Azure makes none (Trusted Launch, Arm64, NVMe), or one is there.",
        )
        publish = PublishImageVersionOperator(
            task_id="publish",
            image_task_id=managed_image.task_id,
            snapshot_task_id=snapshot.task_id if snapshot else None,
            clone_task_id=clone.task_id if clone else None,
            trigger_rule=TriggerRule.NONE_FAILED,
            doc_md="Version in the Compute Gallery, in its own region and the pool's.",
        )
        chain(captured, managed_image, publish)
        if clone:
            remove = RemoveCloneOperator(
                task_id="remove_clone", doc_md="Whatever happened: VM, network card and disks of the clone go."
            ).as_teardown(on_failure_fail_dagrun=False)
            publish >> remove
    return publish


def _clone_stages(snapshot: BaseOperator) -> BaseOperator:
    """Add the throwaway VM that is generalized for the golden VM; returns the task whose XCom is its ARM id."""
    clone_vm = CloneVmOperator(
        task_id="clone_vm", snapshot_task_id=snapshot.task_id, doc_md="A throwaway VM from the snapshots."
    )
    generalize = GeneralizeCloneOperator(
        task_id="generalize_clone",
        clone_task_id=clone_vm.task_id,
        doc_md="Script in the guest, deallocate, flag: on the throwaway VM, never on the golden one.",
    )
    chain(snapshot, clone_vm, generalize)
    return generalize


def _snapshot_stages(capture: Capture, before: BaseOperator) -> BaseOperator:
    """Add the copying of the golden VM's disks; returns the task whose XCom is the snapshot set."""
    copy = partial(SnapshotGoldenVmOperator, task_id="snapshot", doc_md="OS disk and all data disks: one unit.")
    if capture is Capture.RESTORE_POINT:
        point = RestorePointOperator(
            task_id="restore_point", doc_md="All disks of the running VM at one moment, and a disk of each."
        )
        snapshot = copy()
        remove = RemoveRestorePointOperator(
            task_id="remove_restore_point", doc_md="Whatever happened: restore point and disks of it go."
        ).as_teardown(on_failure_fail_dagrun=False)
        chain(before, point, snapshot, remove)
        return snapshot
    stop = StopGoldenVmOperator(task_id="stop_golden_vm", doc_md="Only with `capture: deallocated` or `stopped`.")
    snapshot = copy()
    start = StartGoldenVmOperator(
        task_id="start_golden_vm",
        stop_task_id=stop.task_id,
        doc_md="Whatever happened: the golden VM runs again if it did before.",
    ).as_teardown(on_failure_fail_dagrun=True)
    chain(before, stop, snapshot, start)
    return snapshot
