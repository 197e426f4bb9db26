"""What every room needs: errors, settings, logging, processes, JSON files. Imports no other room.

Every module is a door.
"""
