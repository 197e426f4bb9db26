"""The stage `decontaminate` as a Kubeflow component."""
