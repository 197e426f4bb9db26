"""Stage `assemble`: what the publishers ship becomes one training mixture.

Doors, the modules that other rooms may import:

    config  its settings
"""
