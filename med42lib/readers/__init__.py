"""Reading what others publish: files, parsers, fields and each publisher's layout.

Every module is a door.
"""
