"""Finds evaluation questions that are, reworded or not, in the training data (paper, appendix A.4)."""
