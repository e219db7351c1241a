"""Tests of the rules: milliseconds each, no Airflow, no Azure."""
