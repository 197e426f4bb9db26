"""What tells people and programs about the data set."""
