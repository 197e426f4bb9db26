"""The stage `register` as a Kubeflow component."""
