"""The stage `assemble` as a Kubeflow component."""
