"""Tests against real Airflow processes."""
