"""An external sort: spill each source sorted, choose rows by their keys, merge."""
