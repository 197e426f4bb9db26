"""The stage `evaluate` as a Kubeflow component."""
