"""The only rooms that touch an Azure SDK."""
