"""MLflow: where it is, its client, and what a finished run becomes there."""
