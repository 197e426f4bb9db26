"""The stage `answer_questions` as a Kubeflow component."""
