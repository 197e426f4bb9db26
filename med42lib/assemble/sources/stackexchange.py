"""StackExchange: questions of six sites, each with its best answer.

    HuggingFaceH4/stack-exchange-preferences: HTML, one folder per site, data/<site>.stackexchange.com/*.parquet
        {"qid": 12, "question": "<p>Why ...", "answers": [{"answer_id": 34, "author": "A. Nonymous", "pm_score": 3,
          "selected": true, "text": "<p>Because ...", ...}, ...],
         "metadata": ["https://biology.stackexchange.com/questions/12", "https://biology.stackexchange.com", ...]}
    lvwerra/stack-exchange-paired: made from it, Markdown, all sites mixed; response_j is the better of the two
        {"qid": 12, "question": ..., "response_j": ..., "response_k": ..., "metadata": [as above]}

The set exists on the hub only, so both layouts read the same, and each row shows which of the two it is. Of several
answers the one that the asker selected is taken, else the one with the highest `pm_score`; ties go to the lowest id.
The paired set repeats a question for each of its pairs: what is the same twice is a duplicate, but a question may come
with several answers.

A row's site is its URL's, which must agree with its folder. Sites of the paper that were renamed are read under both
names. Sites about a site (`*.meta.stackexchange.com`) are never read. A row that shows no site is a reject, unless
`include` is `any`; rows of other sites are passed over uncounted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from med42lib.assemble.conversations.markup import html_to_text
from med42lib.assemble.conversations.templates import question_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.core.errors import DataError
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.cleaning import is_blank
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import SUFFIXES, Rows, table_files, table_rows
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.question import id_field

SITES = ("academia", "bioinformatics", "biology", "cogsci", "fitness", "health")
ANY_SITE = "any"
LICENCE = "CC BY-SA 4.0"
_NEWER_NAMES = {"cogsci": "psychology", "health": "medicalsciences"}
_DOMAIN = ".stackexchange.com"


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the wanted sites' folders below `path`; where there are none such, the wanted sites' rows."""
    wanted = frozenset(_newest(site.removesuffix(_DOMAIN)) for site in read_options.include or SITES)
    for name in _files(folder, path, wanted):
        site = _site_of_file(name)
        conversation = partial(_conversation, folder_site=site, may_be_any=ANY_SITE in wanted)
        yield from each(_wanted_rows(table_rows(folder, name), site, wanted), conversation)


def _wanted_rows(rows: Rows, folder_site: str, wanted: frozenset[str]) -> Rows:
    """Pass over the rows of other sites; those that show no site remain."""
    for row in rows:
        site = "" if isinstance(row, Reject) else folder_site or _site_of_url(_question_url(row.value))
        if not site or _is_wanted(site, wanted):
            yield row


def _files(folder: DataFolder, path: str, wanted: frozenset[str]) -> list[str]:
    """List what to read, without opening other sites' files: all sites together are 20 GB."""
    by_name = {} if "*" in path or folder.has_file(path) else {n: _site_of_file(n) for n in folder.names(path)}
    if not any(by_name.values()):
        return [file.name for file in table_files(folder, path, ("train",))]
    names = [name for name, site in by_name.items() if _is_wanted(site, wanted) and name.endswith(SUFFIXES)]
    if not names:
        present = ", ".join(sorted({site for site in by_name.values() if site}))
        raise DataError(f"{folder.address}/{path} has none of the sites {', '.join(sorted(wanted))}, only {present}")
    return names


def _site_of_file(name: str) -> str:
    """Name the site whose folder a file is in; empty if it is in none."""
    sites = [part for part in name.split("/")[:-1] if part.endswith((".com", ".net"))]
    return _newest(sites[-1].removesuffix(_DOMAIN)) if sites else ""


def _newest(site: str) -> str:
    return _NEWER_NAMES.get(site, site)


def _is_wanted(site: str, wanted: frozenset[str]) -> bool:
    return (site in wanted or ANY_SITE in wanted) and not _is_meta(site)


def _is_meta(site: str) -> bool:
    return site == "meta" or site.endswith(".meta") or site.startswith("meta.")


def _question_url(row: object) -> str:
    """Take the question's URL from a row's metadata, which also has the asker's; empty if it is not there."""
    urls = row.get("metadata") if isinstance(row, dict) else None
    found = [url for url in urls if isinstance(url, str) and "/questions/" in url] if isinstance(urls, list) else []
    return found[0] if found else ""


def _site_of_url(url: str) -> str:
    return _newest(url.partition("://")[2].partition("/")[0].removesuffix(_DOMAIN))


def _conversation(value: Any, *, folder_site: str, may_be_any: bool) -> Conversation:
    row = mapping(value)
    url = _question_url(row)
    site = _site_of_url(url)
    if folder_site and site and site != folder_site:
        raise BadRecord("the record's URL is of another site than its folder", url)
    if not (site or folder_site or may_be_any):
        raise BadRecord("the record does not show which site it is from")
    if "answers" not in row:
        return _paired(row, url)
    best = _best(row["answers"])
    publisher_id = id_field(row, "qid")
    if not url and folder_site:
        url = f"https://{folder_site}{_DOMAIN}/questions/{publisher_id}"
    question, answer = _plain(row, "question"), _plain(best, "text")
    return _licensed(
        question_conversation(question, answer, publisher_id=publisher_id), optional_text(best, "author"), url
    )


def _paired(row: Mapping[str, Any], url: str) -> Conversation:
    publisher_id = id_field(row, "qid") if "qid" in row else ""
    conversation = question_conversation(
        text_field(row, "question"), text_field(row, "response_j"), publisher_id=publisher_id
    )
    return _licensed(conversation, "", url)


def _plain(row: Mapping[str, Any], key: str) -> str:
    text = html_to_text(text_field(row, key))
    if is_blank(text):
        raise BadRecord(f"{key} is HTML without any text")
    return text


def _best(answers: object) -> Mapping[str, Any]:
    if not isinstance(answers, list) or not answers:
        raise BadRecord("the question has no list of answers", repr(answers))
    return max(answers, key=_merit)


def _merit(answer: object) -> tuple[bool, int, int]:
    """Order answers: selected first, then by votes, then by age."""
    row = mapping(answer)
    selected, score, number = row.get("selected"), row.get("pm_score"), row.get("answer_id")
    if not (isinstance(selected, bool) and isinstance(score, int) and isinstance(number, int)):
        raise BadRecord("an answer has no selected, pm_score and answer_id", f"{selected!r}, {score!r}, {number!r}")
    return selected, score, -number


def _licensed(conversation: Conversation, author: str, url: str) -> Conversation:
    """Name the answer's author, and the page that names the asker and all others."""
    credit = ", ".join(part for part in (author, url) if part)
    return replace(conversation, licence=f"{LICENCE}; {credit}") if credit else conversation


SOURCE = TrainingSource(
    name="stackexchange",
    title="StackExchange",
    domain="medical",
    facts=PublisherFacts(
        licence=LICENCE,
        attribution="Stack Exchange's users: each example names its answer's author and its page",
        citation="Lambert, Tunstall, Rajani and Thrush 2023, HuggingFace H4 Stack Exchange Preference Dataset",
    ),
    settings=("include",),
    publisher=SourceLayout("stackexchange", read),
    huggingface=SourceLayout(
        "stackexchange", read, repository="HuggingFaceH4/stack-exchange-preferences", hub_path="data"
    ),
    num_paper=64_246,
    num_paper_origin="unexplained: medAlpaca's tables give two totals for its StackExchange sets, 52,475 and 91,713",
    tokens_per_row=650,  # guessed: a post and its best answer
    left_out="all sites but six; all answers but the best",
)
