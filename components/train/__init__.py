"""The stage `train` as a Kubeflow component."""
