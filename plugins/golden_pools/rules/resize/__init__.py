"""Bringing a pool to its targets: what each observation means, from the PATCH until the nodes take work."""

from golden_pools.rules.resize.allocation import ResizeRequest, at_target, judge, resize_timeout, wanted
from golden_pools.rules.resize.nodes import Lasting, duration, headcount, judge_nodes
from golden_pools.rules.resize.verdict import Cause, Verdict, VerdictKind

__all__ = [
    "Cause",
    "Lasting",
    "ResizeRequest",
    "Verdict",
    "VerdictKind",
    "at_target",
    "duration",
    "headcount",
    "judge",
    "judge_nodes",
    "resize_timeout",
    "wanted",
]
