"""Turn what the publishers ship into one training mixture."""
