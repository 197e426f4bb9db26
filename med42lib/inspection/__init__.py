"""The whole history of one training row, from the publisher's file to packed tokens: what `med42 inspect` shows.

Doors, the modules that other rooms may import:

    find       which row is meant, and the run it belongs to
    history    the publisher's record, assemble, decontaminate and pack together
    show       a history, or a list of rows, as text

`commands.inspection` asks `find.find_row` for a row and `history.history` for what became of it, or `find.some_rows`
for rows to begin with; `show` writes both out. The room reads what stages wrote, and no stage knows of it.
"""
