"""Where inputs and outputs lie: addresses, stores, manifests, and the two ends of an edge between stages.

Doors, the modules that other rooms may import:

    address      opens the store at an address, names its server; joins and makes addresses
    agreement    one of several processes decides for all
    artifacts    a stage's inputs and outputs: Source, Sources, Target
    base         what every store can do, and the schemes of addresses
    cache        results that a stage keeps between runs
    checkpoints  unfinished work of a key, for its next attempt
    disk         errors of a full or broken disk; files with two names
    identity     the hash of a file, looked up if it was read before
    lineage      all outputs behind an output
    manifest     what is recorded of an output: files, settings, inputs, versions
    metrics      numbers over time, and who shows them meanwhile
    names        file names that come from elsewhere, checked
    patience     waiting for a server that is away
    publish      puts the files of an output and seals it; finds sealed outputs
    scratch      folders for an attempt, removed with it
"""
