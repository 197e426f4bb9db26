"""The stage `pack` as a Kubeflow component."""
