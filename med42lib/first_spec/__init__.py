"""A first spec for a user's own data: what `med42 init` looks at and writes.

Doors, the modules that other rooms may import:

    look   what the files of a folder hold
    write  the spec, with comments
"""
