"""The stage `report` as a Kubeflow component."""
