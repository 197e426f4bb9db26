"""Report: what the scores say, with their uncertainty, what leaked, and how it was made."""
