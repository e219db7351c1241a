"""What bad nodes say about themselves, for the log."""

from __future__ import annotations

from collections.abc import Iterable
from logging import Logger
from typing import TYPE_CHECKING

from golden_pools.errors import GoldenPoolsError

if TYPE_CHECKING:
    from golden_pools.hooks.batch_work import BatchWorkHook
    from golden_pools.rules.facts import Node

MOST_NODES = 20
"""Nodes that are told one by one; the causes repeat."""

MOST_OUTPUTS = 3
"""Nodes whose start task's output is fetched: two requests each."""

OUTPUT_FILES = ("stdout.txt", "stderr.txt")


def log_bad_nodes(
    log: Logger, hook: BatchWorkHook, *, group: str, account: str, pool: str, nodes: Iterable[Node]
) -> None:
    """Log why nodes do not take work: Azure's causes, and what a failed start task wrote last."""
    bad = sorted(nodes, key=lambda node: (node.state, node.id))
    for node in bad[:MOST_NODES]:
        causes = "; ".join(filter(None, (*node.errors, node.start_task_failure)))
        log.error("Node %s is %s: %s", node.id, node.state, causes or "Azure says no cause")
    if len(bad) > MOST_NODES:
        log.error("... and %d more", len(bad) - MOST_NODES)
    for node in [node for node in bad if node.state == "starttaskfailed"][:MOST_OUTPUTS]:
        for file in OUTPUT_FILES:
            try:
                output = hook.start_task_output(group, account, pool, node.id, file)
            except GoldenPoolsError as error:
                log.warning("What the start task of node %s wrote to %s could not be read: %s", node.id, file, error)
                continue
            if output.strip():
                log.error(
                    "Start task of node %s, exit code %s, end of %s:\n%s",
                    node.id,
                    node.start_task_exit_code,
                    file,
                    output,
                )
