"""What a stage is, what its output is named by, and the one way it runs."""
