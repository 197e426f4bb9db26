"""What a stage is, what names its output, and the one way in which it runs.

Every module is a door.
"""
