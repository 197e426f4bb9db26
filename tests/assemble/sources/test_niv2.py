from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.assemble.sources.niv2 import SOURCE
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source

SCIQ = "task591_sciq_answer_generation"
BLOCKED = "task846_pubmedqa_classification"
HUB = f"niv2/train/{SCIQ}_train.jsonl"


def task(*instances: Any, **changes: Any) -> dict[str, Any]:
    document = {"Definition": ["Answer."], "Instances": list(instances), "Instance License": ["CC BY-NC 3.0"]}
    return {**document, **changes}


def instance(number: int = 1, output: Any = ("atoms",), **changes: Any) -> dict[str, Any]:
    return {"id": f"task591-{number}", "input": f"What {number}?", "output": list(output), **changes}


def hub_row(number: int = 1, targets: Any = "atoms", **changes: Any) -> dict[str, Any]:
    row = {"task_name": SCIQ, "id": f"task591-{number}", "definition": "Answer.", "inputs": f"What {number}?"}
    return {**row, "targets": targets, **changes}


def test_an_instance_becomes_a_conversation_under_its_tasks_licence(write: Any, conversations: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(instance()))
    exchange = Exchange("Answer.\nWhat 1?", "atoms")
    assert conversations("niv2") == [Conversation("task591-1", (exchange,), "What 1?", licence="CC BY-NC 3.0")]
    write(f"niv2/tasks/{SCIQ}.json", task(instance(), **{"Instance License": []}))
    assert conversations("niv2")[0].licence == ""


def test_one_reference_as_text_is_as_good_as_a_list_of_one(write: Any, conversations: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task({**instance(), "output": "atoms"}, instance()))
    as_text, as_list = conversations("niv2")
    assert as_text == as_list


@pytest.mark.parametrize("layout", ["publisher", "huggingface"])
def test_the_usual_tasks_that_are_absent_are_named(write: Any, data: Path, layout: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(instance()))
    write(HUB, [hub_row()])
    folder = DataFolder(Source(str(data)))
    path = {"publisher": "niv2/tasks", "huggingface": "niv2/train"}[layout]
    for include, notes in (((), 1), ((SCIQ,), 0)):
        folder.notes.clear()
        assert len(list(SOURCE.layout(layout).read(folder, path, ReadOptions("letters", include=include)))) == 1
        assert len(folder.notes) == notes
        assert all(note.startswith("46 of its 47 tasks are not here: task041_qasc") for note in folder.notes)
        assert not any(SCIQ in note for note in folder.notes)


def test_of_several_references_the_input_chooses_and_all_are_used(write: Any, conversations: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(*(instance(n, ("one", "two", "three")) for n in range(40))))
    chosen = [conversation.exchanges[0].assistant for conversation in conversations("niv2")]
    assert set(chosen) == {"one", "two", "three"}
    write(f"niv2/tasks/{SCIQ}.json", task(*(instance(n, ("one", "two", "three")) for n in reversed(range(40)))))
    assert [conversation.exchanges[0].assistant for conversation in conversations("niv2")] == chosen[::-1]


def test_the_hubs_rows_give_the_same_conversations_without_the_licence(write: Any, conversations: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(*(instance(n, ("one", "two")) for n in range(9)), **{"Instance License": []}))
    rows = [hub_row(n, target) for n in range(9) for target in ("one", "two")]
    published = conversations("niv2")
    write(HUB, rows)
    write("niv2/test/task041_qasc_answer_generation_test.jsonl", [hub_row(99)])
    assert conversations("niv2", layout="huggingface", path="niv2/train") == published
    write("table/data/train-00000-of-00001.parquet", rows)
    assert conversations("niv2", layout="huggingface", path="table") == published


def test_tasks_made_of_benchmarks_are_excluded_one_by_one(write: Any, conversations: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(instance()))
    write(f"niv2/tasks/{BLOCKED}.json", task(instance(7), instance(8)))
    write("niv2/tasks/task665_mmmlu_answer_generation_anatomy.json", task(instance(9)))
    reasons = [found[1] for found in conversations("niv2") if isinstance(found, tuple)]
    pubmedqa = "the task holds questions of a benchmark: PubMedQA"
    assert reasons == ["the task holds questions of a benchmark: MMLU", pubmedqa, pubmedqa]
    assert (
        len(
            [
                conversation
                for conversation in conversations("niv2", benchmark_tasks=True)
                if isinstance(conversation, Conversation)
            ]
        )
        == 4
    )
    write(HUB, [hub_row(), hub_row(2, task_name=BLOCKED), hub_row(3, task_name="task001_quoref")])
    assert [type(d) for d in conversations("niv2", layout="huggingface", path="niv2/train")] == [Conversation, tuple]


@pytest.mark.parametrize("layout", ["publisher", "huggingface"])
def test_a_blocked_task_by_name_fails_unless_the_settings_allow_it(write: Any, conversations: Any, layout: str) -> None:
    write(f"niv2/tasks/{BLOCKED}.json", task(instance()))
    write(f"niv2/train/{BLOCKED}_train.jsonl", [hub_row(task_name=BLOCKED)])
    where: dict[str, Any] = {"layout": layout, "path": "niv2/tasks" if layout == "publisher" else "niv2/train"}
    with pytest.raises(DataError, match=rf"{BLOCKED} \(PubMedQA\)"):
        conversations("niv2", include=(BLOCKED,), **where)
    assert len(conversations("niv2", include=(BLOCKED,), benchmark_tasks=True, **where)) == 1


@pytest.mark.parametrize("layout", ["publisher", "huggingface"])
def test_named_tasks_alone_are_read_and_a_missing_one_fails(
    write: Any, conversations: Any, data: Path, layout: str
) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(instance()))
    write("niv2/tasks/task001_quoref.json", task(instance(2)))
    write("niv2/train/task001_quoref_train.jsonl", [hub_row(2, task_name="task001_quoref")])
    write(HUB, "no JSON at all")
    where: dict[str, Any] = {"layout": layout, "path": "niv2/tasks" if layout == "publisher" else "niv2/train"}
    assert [conversation.question for conversation in conversations("niv2", include=("task001_quoref",), **where)] == [
        "What 2?"
    ]
    with pytest.raises(DataError, match="no such task among the files: task002_quoref"):
        conversations("niv2", include=("task001_quoref", "task002_quoref"), **where)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (instance(input=None), "input is missing"),
        (instance(input=" "), "input is blank"),
        (instance(input=["What?"]), "input is not text"),
        (instance(output=()), "output is neither an answer nor a list of answers"),
        (instance(output=("atoms", "")), "output is blank"),
        (instance(output=(3,)), "output is not text"),
        ({"id": "task591-1", "input": "What?"}, "output is neither an answer nor a list of answers"),
        ("What?", "the record is not a JSON object"),
    ],
)
def test_a_broken_instance_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, broken: Any, reason: str
) -> None:
    write(f"niv2/tasks/{SCIQ}.json", task(broken, instance()))
    first, second = conversations("niv2")
    assert first == ("rejected", reason)
    assert isinstance(second, Conversation)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (hub_row(targets=None), "output is missing"),
        (hub_row(inputs=3), "input is not text"),
        (hub_row(definition=" "), "definition is blank"),
        (hub_row(task_name=None), "task_name is missing"),
        (hub_row(id=None, targets=""), "output is blank"),
        (["What?"], "the record is not a JSON object"),
    ],
)
def test_a_broken_row_of_the_hub_is_a_reject(write: Any, conversations: Any, broken: Any, reason: str) -> None:
    write(HUB, [broken, hub_row(2), hub_row(3, id=None), hub_row(3, id=None)])
    first, *others = conversations("niv2", layout="huggingface", path="niv2/train")
    assert first == ("rejected", reason)
    assert [conversation.question for conversation in others] == ["What 2?", "What 3?", "What 3?"]


def test_a_folder_without_rows_or_without_the_tasks_fails(write: Any, conversations: Any) -> None:
    write("niv2/train/task001_quoref_train.jsonl", "no JSON at all")
    with pytest.raises(DataError, match=f"no such task among the files: {SCIQ}"):
        conversations("niv2", layout="huggingface", include=(SCIQ,))
    with pytest.raises(DataError, match=r"has no .nowhere.; it has niv2"):
        conversations("niv2", layout="huggingface", path="nowhere")


@pytest.mark.parametrize("document", [[], {"Instances": []}, {"Definition": ["A."], "Instances": {}}])
def test_a_file_that_is_no_task_fails(write: Any, conversations: Any, document: Any) -> None:
    write(f"niv2/tasks/{SCIQ}.json", document)
    with pytest.raises(DataError, match=r"not a task of Super-NaturalInstructions"):
        conversations("niv2")


def test_the_real_files_give_the_stated_counts(real_data: Path) -> None:
    """Two tasks are here in a copy cut in three: 338 + 1,000 instances in their `train.json`, which alone is read."""
    folder = DataFolder(Source(str(real_data / "raw")))
    records = list(SOURCE.publisher.read(folder, "niv2", ReadOptions("letters")))
    kept = [record.value for record in records if isinstance(record, Record)]
    assert len(records) == len(kept) == 1_338
    assert [
        sum(conversation.licence == licence for conversation in kept) for licence in ("Unknown", "CC BY-NC 3.0")
    ] == [338, 1_000]
    assert [name.rpartition("/")[2] for name in folder.opened] == ["train.json", "train.json"]
