"""What `med42 doctor` finds: everything that a run needs around it, looked at before anything is spent.

Doors, the modules that other rooms may import:

    checks   all findings at once, and those of a training's driver before a run
    finding  what a check found
"""
