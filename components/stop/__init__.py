"""A run's exit handler as a Kubeflow component."""
