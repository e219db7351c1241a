"""What a person may retry or clear, and what happens then: the second part of the doc of every task and group.

A retry and a clear are one thing to a task: it looks at what there is and goes on from there. What differs from that
stands here.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import DAG

READS = "any time: it only reads."
ADOPTS = "any time: what this run made is adopted, nothing is made twice."

RESIZE = (
    "any time: it looks at the pool and at its own last resize, and asks only for what is missing. A pool that "
    "somebody else has resized since gets this run's counts again."
)
NODES = "any time: waiting begins anew; nodes that have been rebooted in this run are known as such."
MARK_BAD = "any time: the tag is written again. To take the verdict back, run the DAG with this version and *force*."
ALERT = "any time: only addresses that have not taken the alert get it."

OF_A_POOL: Mapping[str, str] = {
    "plan": "with all that follows it. The spec is read as it is now; names and version number stay the run's.",
    "source": "with all that follows it: the decision may be another one by now.",
    "preflight": "any time, for instance after something was mended in Azure; what follows goes on with it.",
    "image": "any time: what this run made is adopted, nothing is made twice. A *new* image needs a new run.",
    "image.stop_golden_vm": "any time; how the VM was found is not forgotten. What follows it starts the VM again.",
    "image.start_golden_vm": "any time: it starts the VM only if it ran before the run. If it is red, look at the VM.",
    "image.restore_point": ADOPTS,
    "image.snapshot": "any time: a set that is whole is adopted; one that is not is made anew, from all disks. Where "
    "the golden VM was started since, clear *stop_golden_vm* with it.",
    "image.remove_restore_point": "any time: what is left of it is removed.",
    "image.clone_vm": ADOPTS + " After *remove_clone* it makes another one.",
    "image.generalize_clone": "while the throwaway VM is there; after *remove_clone* clear *clone_vm* with it.",
    "image.remove_clone": "any time: what is left of it is removed.",
    "image.managed_image": ADOPTS,
    "image.publish": ADOPTS + " A version that failed before its region had it is made again.",
    "wave": "any time: it looks again whose turn it is. Marked as a success, it lets the pool move at once.",
    "canary": "any time: a node is tried again. A version that was marked bad needs a run of its own with *force*.",
    "canary.pool": "any time: its node is adopted; after *remove* there is a new one. Clear *probe* with it.",
    "canary.probe": "with *canary.pool*, once the canary is removed; before that alone. The probes are the same.",
    "canary.mark_bad": MARK_BAD,
    "canary.remove": "any time: what is left of canaries is removed.",
    "approve": "with all that follows it: the question is asked anew. A retry does not ask again.",
    "replicate": "any time: only regions that lack the version are asked.",
    "pool": "any time: the pool is looked at first, and brought on from the state that it is in.",
    "pool.refresh": "with what follows: a drain that gave up gets its time again. After a rollback: a new run.",
    "pool.resize": RESIZE,
    "pool.nodes": NODES,
    "pool.probe": "any time: the probes run again on the pool as it is.",
    "pool.switch": "any time: what was moved is not moved again.",
    "pool.record": "any time: the verdict stays, and the pool's asset event goes out once more.",
    "pool.retire": "any time: a retirement that was started is not started again.",
    "pool.announce": "any time; followers are started once more if this run's version became good.",
    "rollback": "only tasks that failed.",
    "rollback.mark_bad": MARK_BAD,
    "rollback.restore": "any time: it goes on from what the pool is by now. With *resize* after it.",
    "rollback.resize": RESIZE,
    "rollback.report": "never needed: it is red whenever the pool was put back, so that the run is.",
    "alert": ALERT,
}
"""Of the DAG that refreshes a pool, by task or group."""

OF_A_RESIZE: Mapping[str, str] = {
    "plan": "with all that follows it: spec and counts are read as they are now.",
    "resize": RESIZE + " While a run refreshes the pool it gives way to that.",
    "nodes": "any time: waiting begins anew.",
    "alert": ALERT,
}
"""Of the DAGs that only resize."""

OF_FORMER_POOLS: Mapping[str, str] = {
    "plan": "with *retire*: the soak is read from the spec as it is now.",
    "retire": "any time: it looks again, and deletes nothing that has jobs or is current.",
    "alert": ALERT,
}

OF_RETENTION: Mapping[str, str] = {
    "report": "any time: it only reads, and the others look for themselves.",
    "canaries": "any time: it looks anew.",
    "mark": "any time: it looks anew, and takes marks back as well.",
    "versions": "any time: it looks anew; what is gone is gone.",
    "images": "any time: it looks anew; what a version or pool needs stays.",
    "snapshots": "any time: it looks anew; what an image or version needs stays.",
    "throwaways": "any time: it looks anew.",
    "failed": "never needed: clear the task that failed, and this one goes with it.",
    "alert": ALERT,
}

OF_THE_WATCH: Mapping[str, str] = {
    "look": READS + " With *alert*, which compares it with the look before.",
    "alert": "any time: the news of one look stay the same.",
    "tell": "any time: nobody hears it twice.",
    "tell_failure": ALERT,
}


def explain(dag: DAG, texts: Mapping[str, str]) -> None:
    """Add to the docs of a DAG's tasks and groups what may be cleared when.

    :raises KeyError: a task or group has no text
    """
    for task in dag.tasks:
        task.doc_md = f"{task.doc_md}\n\n**Retry or clear** {texts[task.task_id]}"
    for name, group in dag.task_group_dict.items():
        group.doc_md = f"{group.tooltip}.\n\n**Retry or clear** {texts[name]}"
