"""The stage `package_model` as a Kubeflow component."""
