"""Bringing a pool to its targets: what each observation means, from the PATCH until the nodes take work."""

from golden_pools.rules.resize.allocation import at_target, judge, wanted
from golden_pools.rules.resize.course import Course, next_targets, resize_timeout
from golden_pools.rules.resize.curve import SAMPLES, Curve, Sample
from golden_pools.rules.resize.nodes import Lasting, duration, headcount, judge_nodes, tally
from golden_pools.rules.resize.request import ResizeRequest
from golden_pools.rules.resize.tactics import Prospects, after_miss
from golden_pools.rules.resize.verdict import Cause, Verdict, VerdictKind

__all__ = [
    "SAMPLES",
    "Cause",
    "Course",
    "Curve",
    "Lasting",
    "Prospects",
    "ResizeRequest",
    "Sample",
    "Verdict",
    "VerdictKind",
    "after_miss",
    "at_target",
    "duration",
    "headcount",
    "judge",
    "judge_nodes",
    "next_targets",
    "resize_timeout",
    "tally",
    "wanted",
]
