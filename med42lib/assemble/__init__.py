"""Stage `assemble`: what the publishers ship becomes one training mixture.

Doors, the modules that other rooms may import:

    config                 its settings
    source                 what a training source says of itself, and how its files are read
    conversations.columns  conversations in columns, and the examples made of them
    own.source             any source by its name and settings, the user's own among them
    reading.read_source    reads one source
"""
