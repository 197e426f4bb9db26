"""The whole history of one training row, from the publisher's file to packed tokens: what `med42 inspect` shows.

Doors, the modules that other rooms may import:

    history  gathers the history of a row
    listing  lists rows to choose from
    runs     finds outputs and the row that is asked for
    show     writes a history as lines
    style    colours of a terminal
"""
