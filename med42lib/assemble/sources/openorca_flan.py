"""OpenOrca's part with the prompts of Flan (Longpre et al. 2023), see `_openorca`."""

from med42lib.assemble.sources._openorca import openorca

SOURCE = openorca(
    "flan.",
    name="openorca_flan",
    title="OpenOrca Flan",
    num_paper=110_854,
    num_paper_origin="a draw of 300,000 in the ratio 3 : 3 : 2, so 112,500 of this part, × 0.985: lost to a filter",
    tokens_per_row=450,  # guessed, as for T0
)
