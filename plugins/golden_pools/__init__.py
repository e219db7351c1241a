"""Golden Pools: keep Azure Batch pools on a fresh golden image, with Apache Airflow."""
