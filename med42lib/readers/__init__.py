"""Reading what others publish: files, parsers, fields and each publisher's layout."""
