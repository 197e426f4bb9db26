"""Make the chosen model one folder that MLflow loads."""
