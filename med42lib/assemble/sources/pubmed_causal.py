"""PubMed Causal: conclusions of studies, labelled by what they claim about cause and effect.

Publisher: `annotated_pubmed.csv`, without ids. (`annotated_eureka.csv` beside it holds press releases, which the paper
does not use and which are not read.)

    sentence,label
    "Levels of cholesterol fractions in patients with JIA were found within the normal range.",0

The labels are 0 no relationship (1,356 rows), 1 direct causal (998), 2 conditional causal (213), 3 correlational (494).
The 3,061 rows hold 3,054 sentences, one of which has two labels.

Hub: medAlpaca's copy, 2,446 rows, four fifths of the publisher's, with the label already in words.

    {"instruction": "...", "input": "Levels of cholesterol ...", "output": "..."}

The paper took the hub's copy and lost about 11 % of it on the way.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.labels import Wordings, labelled_in_words, without_contradictions
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.rejects import Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record, csv_records, each
from med42lib.readers.publishers.medalpaca import read_medalpaca

WORDINGS = Wordings(
    questions=(
        "Does this sentence of a medical paper claim a direct cause, a conditional cause, a correlation or no "
        "relationship?\n{sentence}",
        "Classify the claim: no relationship, direct causal, conditional causal or correlational.\n{sentence}",
        "{sentence}\nWhat kind of relationship does this finding state: causal, conditionally causal, correlational "
        "or none?",
        "Read this conclusion of a study and say how strongly it claims cause and effect.\n{sentence}",
    ),
    answers={
        "0": ("No relationship.", "This sentence states no relationship.", "None: it links no cause to an effect."),
        "1": ("Direct causal.", "It claims a direct causal relationship.", "A direct cause, stated without reserve."),
        "2": ("Conditional causal.", "It claims a causal relationship under reserve.", "A cause, but a tentative one."),
        "3": ("Correlational.", "It states a correlation, not a cause.", "An association, with no claim of a cause."),
    },
)


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the publisher's CSV file at `path`."""
    rows = csv_records(folder.file(path), ["sentence", "label"])
    return without_contradictions(each(rows, WORDINGS.labelled))


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read medAlpaca's rows at `path`."""
    return without_contradictions(each(read_medalpaca(folder, path), labelled_in_words))


SOURCE = TrainingSource(
    name="pubmed_causal",
    title="PubMed Causal",
    domain="medical",
    facts=PublisherFacts(
        licence="none stated by the publisher",
        attribution="Bei Yu, Yingya Li and Jun Wang; sentences from PubMed",
        citation="Yu, Li and Wang 2019, Detecting Causal Language Use in Science Findings, EMNLP-IJCNLP",
    ),
    publisher=SourceLayout("pubmed_causal/annotated_pubmed.csv", read, records=csv_records),
    huggingface=SourceLayout(
        "pubmed_causal", read_hub, repository="medalpaca/medical_meadow_pubmed_causal", hub_path="*.json"
    ),
    num_paper=2_169,
    num_paper_origin="medAlpaca's 2,446 rows (80 % of the publisher's 3,061) × 0.887: validation split and filter",
    tokens_per_row=88,  # measured on 3,059 rows
    left_out="sentences with different labels (1 sentence, 2 rows)",
)
