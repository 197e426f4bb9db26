"""The command line: `med42 init`, `plan`, `stage`, `check`, `inspect`, `review`, `export`, `promote`, `k8s`, `doctor`.

Doors, the modules that other rooms may import:

    command  what a subcommand is; other packages add theirs
    main     the entry point
"""
