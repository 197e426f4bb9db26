from typing import Any


def row(decision: str) -> dict[str, Any]:
    return {
        "QUESTION": "Does it help?",
        "CONTEXTS": ["Background.", "Results."],
        "LONG_ANSWER": "It helps.",
        "final_decision": decision,
    }


def test_the_options_are_yes_no_and_maybe_and_the_conclusion_is_not_in_the_context(read: Any, write: Any) -> None:
    write("test_set.json", {"1": row("yes"), "2": row("maybe")})
    questions = read("pubmedqa", "test_set.json")["pubmedqa"]
    assert [(q.publisher_id, q.options[q.gold]) for q in questions] == [("1", "yes"), ("2", "maybe")]
    assert {q.context for q in questions} == {"Background.\nResults."}


def test_with_the_official_list_beside_the_file_only_its_questions_are_asked(read: Any, write: Any) -> None:
    write("ori_pqal.json", {"1": row("yes"), "2": row("no")})
    write("test_ground_truth.json", {"2": "no"})
    left_out, asked = read("pubmedqa", "ori_pqal.json")["pubmedqa"]
    assert left_out == ("excluded", "the question is not one of the official test")
    assert asked.publisher_id == "2"
