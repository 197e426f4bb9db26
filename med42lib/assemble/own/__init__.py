"""Training sources of the user's own: rows of a usual shape become conversations."""
