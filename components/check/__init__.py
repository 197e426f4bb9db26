"""The check of a whole run as a Kubeflow component."""
