"""CORD-19: papers on the coronavirus, used to write a paper's title from its abstract.

    publisher   metadata.csv of any release, read row by row:
                cord_uid,sha,source_x,title,doi,pmcid,pubmed_id,license,abstract,...
                ug7v899j,...,PMC,Clinical features of ...,...,no-cc,OBJECTIVE: This ...
    hub         medAlpaca's copy: {"instruction": ..., "input": <abstract>, "output": <title>}

The first releases of March 2020 have no `cord_uid`; there a paper's id is its `sha`, which papers without a text lack.
Many papers have no abstract; those are excluded. A `cord_uid` can stand in several rows, one per version of the paper;
rows that say the same are duplicates like any others. Each row has a licence of its own, which goes with the example.
The hub's instruction is misspelt ("summerize") and the same in every row, so both layouts are asked in our wordings.
"""

from __future__ import annotations

from collections.abc import Iterator

from med42lib.assemble.conversations.templates import choose_wording
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import optional_text, text_field
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record, csv_records, each
from med42lib.readers.publishers.medalpaca import read_medalpaca

LICENCE = "CORD-19 text and data mining licence: no onward transfer"
WORDINGS = (
    "Write a title for a paper with this abstract.\n",
    "Read the abstract of a medical paper and give the paper a fitting title.\n",
    "Summarize the following abstract in one line that could be the paper's title.\n",
    "What might be the title of the paper with the following abstract?\n",
)
_COLUMNS = ("title", "abstract", "license")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the release's table at `path`."""
    return each(csv_records(folder.file(path), _COLUMNS), _paper)


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read medAlpaca's rows at `path`."""
    return each(read_medalpaca(folder, path), lambda row: _conversation(row.output, row.input))


def _paper(row: dict[str, str]) -> Conversation:
    for key in ("title", "abstract"):
        if not row[key].strip():
            raise ExcludedRecord(f"the paper has no {key}")
    licence = row["license"].strip()
    return _conversation(
        text_field(row, "title"),
        text_field(row, "abstract"),
        publisher_id=text_field(row, "cord_uid") if "cord_uid" in row else optional_text(row, "sha"),
        licence=f"{licence}; {LICENCE}" if licence else "",
    )


def _conversation(title: str, abstract: str, *, publisher_id: str = "", licence: str = "") -> Conversation:
    prompter = choose_wording(WORDINGS, abstract) + abstract
    return Conversation(publisher_id, (Exchange(prompter, title),), abstract, licence=licence)


SOURCE = TrainingSource(
    name="cord19",
    title="CORD-19",
    domain="medical",
    facts=PublisherFacts(
        licence=LICENCE,
        attribution="Allen Institute for AI and partners; the papers' authors and publishers",
        citation="Wang et al. 2020, CORD-19: The COVID-19 Open Research Dataset, Workshop on NLP for COVID-19 at ACL",
    ),
    publisher=SourceLayout("cord19/metadata.csv", read, records=csv_records),
    huggingface=SourceLayout("cord19_hf", read_hub, repository="medalpaca/medical_meadow_cord19", hub_path="*.json"),
    num_paper=17_721,
    num_paper_origin="perhaps a draw of 20,000 from medAlpaca's 821,007 rows, × 0.886: validation split and filter",
    tokens_per_row=450,  # guessed: an abstract and its title
    left_out="papers without a title or an abstract",
)
