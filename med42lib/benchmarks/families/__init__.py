"""One module per benchmark, found by its name: each declares a `Family` called `FAMILY`."""
