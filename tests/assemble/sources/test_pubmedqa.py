from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Form, load_source
from med42lib.core.edges import Source
from med42lib.core.errors import DataError
from med42lib.core.reading import DataFolder, Record
from med42lib.core.records import Exchange
from med42lib.core.rejects import Reject


def row(number: int) -> dict[str, Any]:
    return {
        "QUESTION": f"Does {number} help?",
        "CONTEXTS": ["Background.", f"Results {number}."],
        "LONG_ANSWER": f"Conclusion {number}.",
        "final_decision": "no",
    }


@pytest.fixture
def questions(write: Any) -> None:
    write("pubmedqa/ori_pqal.json", {str(n): row(n) for n in (1, 2, 3)})
    write("pubmedqa/test_ground_truth.json", {"2": "no"})


@pytest.mark.usefixtures("questions")
def test_the_official_test_is_left_out(drafts: Any) -> None:
    first, second, third = drafts("pubmedqa")
    assert [first.publisher_id, third.publisher_id] == ["1", "3"]
    assert second == ("excluded", "the question belongs to the official test")


@pytest.mark.usefixtures("questions")
def test_the_decision_comes_first_and_the_conclusion_only_after_it(drafts: Any) -> None:
    abstract = "Background.\nResults 1.\nDoes 1 help?"
    assert drafts("pubmedqa", multiple_choice="texts")[0].exchanges == (Exchange(abstract, "no\nConclusion 1."),)
    assert drafts("pubmedqa", explanations=False)[0].exchanges == (
        Exchange(f"{abstract}\nA. yes\nB. no\nC. maybe", "B. no"),
    )


def test_without_the_list_of_test_ids_nothing_is_read(write: Any, drafts: Any) -> None:
    write("pubmedqa/ori_pqal.json", {"1": row(1)})
    with pytest.raises(DataError, match=r"has no 'pubmedqa/test_ground_truth.json'"):
        drafts("pubmedqa")


def test_of_the_real_thousand_exactly_500_remain_and_no_prompt_shows_a_conclusion(real_data: Path) -> None:
    source = load_source("pubmedqa")
    folder = DataFolder(Source(str(real_data / "raw" / "pubmedqa")))
    records = list(source.read(folder, "ori_pqal.json", Form("letters", explanations=True)))
    drafts = [record.value for record in records if isinstance(record, Record)]
    assert len(drafts) == sum(isinstance(record, Reject) for record in records) == 500
    for draft in drafts:
        (exchange,) = draft.exchanges
        decision, conclusion = exchange.assistant.split("\n", maxsplit=1)
        assert decision in ("A. yes", "B. no", "C. maybe")
        assert conclusion not in exchange.prompter
