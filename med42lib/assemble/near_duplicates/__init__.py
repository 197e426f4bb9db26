"""Rows that say nearly the same: found, counted and reported."""
