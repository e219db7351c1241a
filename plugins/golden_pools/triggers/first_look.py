"""When a trigger looks first."""

from __future__ import annotations

SECONDS = 5.0
"""Pause between a task's deferral and the first event of its trigger.

Airflow 3.3.2 hears of the end of the worker that deferred after the deferral itself, a busy scheduler seconds later. An
event that comes before resumes the task so early that this end is taken for the new worker's: the try counts as killed
from outside, and it and its log are gone (``SchedulerJobRunner.process_executor_events``, ``ti_requeued``).
"""
