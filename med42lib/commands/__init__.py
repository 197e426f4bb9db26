"""The command line: `med42 run`, `check`, `stage`, `plan`, `inspect`, `export`, `k8s`, `doctor`.

Doors, the modules that other rooms may import:

    command  what a subcommand is; other packages add theirs
    main     the entry point
"""
