"""``make demo``: a real Airflow takes a golden VM to a Batch pool, against the embedded Azure simulator."""
