"""The stage `embed_questions` as a Kubeflow component."""
