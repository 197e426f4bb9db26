"""The stage `benchmarks` as a Kubeflow component."""
