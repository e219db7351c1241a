"""The page in the Airflow UI: its data and its files."""
