"""Data of the user's own: which shapes are read, what their fields are called, and the files they may lie in."""
