"""The stage `fetch_model` as a Kubeflow component."""
