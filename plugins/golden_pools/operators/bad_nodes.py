"""What bad nodes say about themselves, for the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from logging import Logger
from typing import TYPE_CHECKING

from golden_pools.errors import GoldenPoolsError
from golden_pools.words import counted, listed

if TYPE_CHECKING:
    from golden_pools.hooks.batch_work import BatchWorkHook
    from golden_pools.rules.facts import Node

MOST_NAMES = 20
"""Nodes of one cause that are named; of the others there is the number."""

MOST_OUTPUTS = 3
"""Nodes whose start task's output is fetched: it takes requests, and repeats itself."""

OUTPUT_FILES = ("stdout.txt", "stderr.txt")


def log_bad_nodes(
    log: Logger, hook: BatchWorkHook, *, group: str, account: str, pool: str, nodes: Iterable[Node]
) -> None:
    """Log why nodes do not take work: Azure's causes, and what failed start tasks wrote last.

    Whatever of it cannot be had (any more) is left out.
    """
    nodes = list(nodes)
    for causes, ids in _by_causes(nodes).items():
        log.error("%s %s: %s", counted(len(ids), "node"), causes, listed(ids, MOST_NAMES))
    for node in [node for node in nodes if node.state == "starttaskfailed"][:MOST_OUTPUTS]:
        for file in OUTPUT_FILES:
            try:
                output = hook.start_task_output(group, account, pool, node.id, file)
            except GoldenPoolsError as error:
                log.warning("What the start task of node %s wrote to %s could not be read: %s", node.id, file, error)
                continue
            if output.strip():
                log.error("Start task of node %s, end of %s:\n%s", node.id, file, output)


def _by_causes(nodes: Iterable[Node]) -> Mapping[str, list[str]]:
    found = defaultdict(list)
    for node in nodes:
        exit_code = f"exit code {node.start_task_exit_code}" if node.start_task_failure else ""
        causes = "; ".join(filter(None, (*node.errors, node.start_task_failure, exit_code)))
        found[f"{node.state} ({causes or 'Azure says no cause'})"].append(node.id)
    return found
