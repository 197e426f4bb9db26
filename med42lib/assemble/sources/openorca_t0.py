"""OpenOrca's part with the prompts of T0 (Sanh et al. 2022), see `_openorca`."""

from med42lib.assemble.sources._openorca import openorca

SOURCE = openorca(
    "t0.",
    name="openorca_t0",
    title="OpenOrca T0",
    num_paper=110_905,
    num_paper_origin="a draw of 300,000 in the ratio 3 : 3 : 2, so 112,500 of this part, × 0.985: lost to a filter",
    tokens_per_row=450,  # guessed: prompts of all lengths, an answer of a paragraph
)
