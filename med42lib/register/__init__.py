"""Record a finished run in MLflow and register its model; MLflow is a view of the store, never the truth."""
