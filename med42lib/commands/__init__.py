"""The command line: `med42 run`, `stage`, `plan`, `inspect`, `k8s`."""
