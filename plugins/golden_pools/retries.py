"""Which failures are worth another try: the one place that says so, for every task of every DAG."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from golden_pools.errors import AlertError, AzureBusyError, GoldenPoolsError
from golden_pools.failures import note_uncaught

RETRIES = 3
"""A worker that is lost, an outage of Azure, a race: three more tries bridge about ten minutes."""

RETRY_DELAY = timedelta(minutes=1)

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=AzureBusyError,
            action=RetryAction.RETRY,
            retry_delay=timedelta(minutes=3),
            reason="Azure is busy; the task is tried again by itself",
        ),
        RetryRule(
            exception=AlertError,
            action=RetryAction.RETRY,
            retry_delay=RETRY_DELAY,  # the run is over but for this, and the pool's next run waits for its end
            reason="an address has not taken an alert; it is asked again by itself",
        ),
        RetryRule(
            exception=GoldenPoolsError,
            action=RetryAction.FAIL,
            reason="a person has to act first: see the advice in the log",
        ),
    ]
)

DEFAULT_ARGS = {
    "retries": RETRIES,
    "retry_delay": RETRY_DELAY,
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": note_uncaught,
}
"""``default_args`` of every DAG."""
