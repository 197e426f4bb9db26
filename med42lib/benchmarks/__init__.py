"""Stage `benchmarks`: mirrors every evaluation item once, with an id that stays.

Doors, the modules that other rooms may import:

    config  its settings
"""
