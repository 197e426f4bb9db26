"""The demo's own data and base model: an invented medical world, so that nothing in it can have leaked from ours.

It has no door: nothing imports it.
"""
