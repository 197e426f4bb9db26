"""PubMed Health Advice: sentences from studies, labelled by how strong their advice is.

Publisher: three CSV files, here and below with their main columns.

    label,pmid,sentence
    1,20386565,"In summary, the approach can be used to ..."

The labels are 0 no advice, 1 weak advice, 2 strong advice; three in four are 0. The 10,848 rows hold 10,830
sentences, two of which have two labels.

Hub: medAlpaca's copy, 8,676 rows, four fifths of the publisher's, with the label already in words.

    {"instruction": "...", "input": "In summary, ...", "output": "..."}

The paper took the hub's copy and lost about 11 % of it on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from med42lib.assemble.conversations.labels import Wordings, labelled_in_words, without_contradictions
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record, csv_records, each
from med42lib.readers.publishers.medalpaca import read_medalpaca

WORDINGS = Wordings(
    questions=(
        "Does the following sentence from a medical study give strong advice, weak advice or no advice?\n{sentence}",
        "Classify this sentence of a medical paper as strong advice, weak advice or no advice.\n{sentence}",
        "{sentence}\nHow strong is the health advice in this sentence: strong, weak or none?",
        "Read this finding and say whether it advises patients or doctors to act, and how firmly.\n{sentence}",
    ),
    answers={
        "0": ("No advice.", "This sentence gives no advice.", "None: it advises nobody to act."),
        "1": ("Weak advice.", "This sentence gives weak advice.", "It gives weak advice, with some caution."),
        "2": ("Strong advice.", "This sentence gives strong advice.", "It gives strong advice: a firm call to act."),
    },
)
_COLUMNS = ("label", "pmid", "sentence")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read every `annotations_*.csv` below `path`."""
    files = folder.files(path, "annotations_*.csv")
    rows = (record for file in files for record in csv_records(file, _COLUMNS))
    return without_contradictions(each(rows, partial(WORDINGS.labelled, id_column="pmid")))


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read medAlpaca's rows at `path`."""
    return without_contradictions(each(read_medalpaca(folder, path), labelled_in_words))


SOURCE = TrainingSource(
    name="health_advice",
    title="PubMed Health Advice",
    domain="medical",
    facts=PublisherFacts(
        licence="none stated by the publisher",
        attribution="Yingya Li, Jun Wang and Bei Yu; sentences from PubMed",
        citation="Li, Wang and Yu 2021, Detecting Health Advice in Medical Research Literature, EMNLP",
    ),
    publisher=SourceLayout("pubmed_health_advice", read, records=csv_records),
    huggingface=SourceLayout(
        "pubmed_health_advice", read_hub, repository="medalpaca/medical_meadow_health_advice", hub_path="*.json"
    ),
    num_paper=7_694,
    num_paper_origin="medAlpaca's 8,676 rows (80 % of the publisher's 10,848) × 0.887: validation split and filter",
    tokens_per_row=90,  # measured on 10,844 rows
    left_out="sentences with different labels (2 sentences, 4 rows)",
)
