"""Stage `report`: what the scores say, with their uncertainty, what leaked, and how it was made.

Doors, the modules that other rooms may import:

    config             its settings
    results.published  what the paper reports
    review             a sample of pairs for people to judge
"""
