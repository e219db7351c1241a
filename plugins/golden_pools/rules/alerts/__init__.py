"""Alerts: what is told of runs, deadlines and drift, to whom, and once."""

from golden_pools.rules.alerts.alert import Alert
from golden_pools.rules.alerts.incident import Incident, News, judge
from golden_pools.rules.alerts.run import Ended, FailedTask, alert_of

__all__ = ["Alert", "Ended", "FailedTask", "Incident", "News", "alert_of", "judge"]
