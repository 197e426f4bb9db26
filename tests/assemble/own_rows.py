"""Good rows of each shape of a user's own data, as TRL, axolotl, LLaMA-Factory and others call their fields."""

from __future__ import annotations

from typing import Any

from med42lib.readers.own.fields import Format

ASKED = {"role": "user", "content": "What is X?"}
ANSWERED = {"role": "assistant", "content": "It is Y."}
MESSAGES = [ASKED, ANSWERED]
SHAREGPT = [{"from": "human", "value": "What is X?"}, {"from": "gpt", "value": "It is Y."}]
WARD = {"format": "conversations", "path": "ward.jsonl", "target": "all", "licence": "of the hospital"}
CHOICE = {"question": "Which?", "options": ["one", "two", "three"], "answer": "B"}

GOOD_OWN: dict[Format, dict[str, dict[str, Any]]] = {
    "conversations": {
        "trl": {"messages": MESSAGES},
        "openai_parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is X?"}]}, ANSWERED]},
        "sharegpt": {"conversations": SHAREGPT},
        "llama_factory": {"conversations": SHAREGPT, "system": "", "tools": "[]", "images": []},
        "in_a_cell": {
            "messages": '[{"role": "user", "content": "What is X?"}, {"role": "assistant", "content": "It is Y."}]'
        },
    },
    "instruction": {
        "alpaca": {"instruction": "What is X?", "input": "", "output": "It is Y."},
        "alpaca_with_input": {"instruction": "What is", "input": "X?", "output": "It is Y."},
        "llama_factory": {"instruction": "What is X?", "input": "", "output": "It is Y.", "system": "", "history": []},
        "trl": {"prompt": "What is X?", "completion": "It is Y."},
        "trl_messages": {"prompt": [ASKED], "completion": [ANSWERED]},
        "dolly": {"instruction": "What is X?", "context": "", "response": "It is Y.", "category": "open_qa"},
        "question_and_answer": {"question": "What is X?", "answer": "It is Y."},
    },
    "multiple_choice": {
        "list": CHOICE,
        "letters": {"question": "Which?", "options": {"A": "one", "B": "two", "C": "three"}, "answer": "B"},
        "medqa": {
            "question": "Which?",
            "options": {"A": "one", "B": "two", "C": "three"},
            "answer_idx": "B",
            "answer": "two",
        },
        "arc": {
            "question": "Which?",
            "choices": {"text": ["one", "two", "three"], "label": ["1", "2", "3"]},
            "answerKey": "2",
        },
        "keys": {
            "question": "Which?",
            "options": [{"key": k, "value": v} for k, v in zip("AB", ("one", "two"), strict=True)],
            "answer": "B",
        },
        "columns": {"question": "Which?", "A": "one", "B": "two", "C": "three", "D": "", "answer": "b"},
        "other_columns": {"question": "Which?", "option_a": "one", "option_b": "two", "answer": "(B)"},
        "text": {"question": "Which?", "choices": ["one", "two"], "answer": "two"},
        "in_a_cell": {"question": "Which?", "choices": '["one", "two"]', "answer": "two"},
    },
}
