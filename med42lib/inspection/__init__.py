"""The whole history of one training row, from the publisher's file to packed tokens: what `med42 inspect` shows.

    find       which row is meant, and the run it belongs to
    raw        the publisher's record, read again by the source's own reader
    packed     its tokens, and what pack did with them
    history    all of these together, and what assemble and decontaminate made of the row
    show       a history, or a list of rows, as text

`commands.inspection` asks `find.find_row` for a row and `history.history` for what became of it, or `find.some_rows`
for rows to begin with; `show` writes both out. The room reads what stages wrote, and no stage knows of it.
"""
