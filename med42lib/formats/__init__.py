"""The contracts between stages: each file that one writes and another reads."""
