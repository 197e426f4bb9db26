"""One Kubeflow container component for each stage. Nothing here computes."""
