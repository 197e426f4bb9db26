"""PubMed Health Advice: sentences from studies, labelled by how strong their advice is.

Three CSV files with the columns label, pmid, sentence: 0 no advice, 1 weak advice, 2 strong advice. Three in four
give none. The publisher's 10,848 rows are more than Table A1's 7,694: medAlpaca's copy is four fifths of them, of
which about 11 % were lost on the way.

A label alone teaches no conversation, so question and answer are each worded in several ways, chosen by the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.source import Draft, Form, Layout, TrainingSource
from med42lib.assemble.templates import choose_wording
from med42lib.core.fields import text_field
from med42lib.core.reading import DataFolder, Record, csv_records, each
from med42lib.core.records import Exchange
from med42lib.core.rejects import BadRecord, Reject

QUESTIONS = (
    "Does the following sentence from a medical study give strong advice, weak advice or no advice?\n{sentence}",
    "Classify this sentence of a medical paper as strong advice, weak advice or no advice.\n{sentence}",
    "{sentence}\nHow strong is the health advice in this sentence: strong, weak or none?",
    "Read this finding and say whether it advises patients or doctors to act, and how firmly.\n{sentence}",
)
ANSWERS = {
    "0": ("No advice.", "This sentence gives no advice.", "None: it advises nobody to act."),
    "1": ("Weak advice.", "This sentence gives weak advice.", "It gives weak advice, with some caution."),
    "2": ("Strong advice.", "This sentence gives strong advice.", "It gives strong advice: a firm call to act."),
}


def read(folder: DataFolder, path: str, form: Form) -> Iterator[Record[Draft] | Reject]:
    """Read every `annotations_*.csv` below `path`."""
    for file in folder.files(path, "annotations_*.csv"):
        yield from each(csv_records(file, ["label", "pmid", "sentence"]), _draft)


def _draft(row: dict[str, str]) -> Draft:
    sentence = text_field(row, "sentence")
    label = row["label"].strip()
    if not label:
        raise BadRecord("the sentence has no label")
    if label not in ANSWERS:
        raise BadRecord("the label is not 0, 1 or 2", f"label = {label!r}")
    prompter = choose_wording(QUESTIONS, "question", sentence).format(sentence=sentence)
    answer = choose_wording(ANSWERS[label], "answer", sentence)
    return Draft(row["pmid"].strip(), (Exchange(prompter, answer),), sentence)


SOURCE = TrainingSource(
    name="health_advice",
    title="PubMed Health Advice",
    domain="medical",
    licence="none stated by the publisher",
    attribution="Yingya Li, Jun Wang and Bei Yu; sentences from PubMed",
    citation="Li, Wang and Yu 2021, Detecting Health Advice in Medical Research Literature, EMNLP",
    publisher=Layout("pubmed_health_advice", read),
    huggingface=Layout("pubmed_health_advice", read),
    num_paper=7_694,
    num_paper_origin="medAlpaca's 8,676 rows, which are 80 % of the publisher's 10,848, × 0.887: validation split and filter",
)
