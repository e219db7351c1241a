"""Notifiers: how somebody is told."""

from golden_pools.notifications.pool_alert import PoolAlertNotifier

__all__ = ["PoolAlertNotifier"]
