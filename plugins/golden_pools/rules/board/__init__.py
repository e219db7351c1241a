"""What the page shows, made of what Airflow and Azure said: pure, so that every sentence of it can be tested."""
