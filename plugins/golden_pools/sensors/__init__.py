"""Waits that other DAGs use too."""
