"""What follows from it: pure decisions, without Airflow, Azure SDK or a clock of their own."""
