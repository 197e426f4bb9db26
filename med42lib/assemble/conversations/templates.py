"""How records become conversations, in the same words as benchmarks ask."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from med42lib.assemble.conversations.explanations import told_explanation
from med42lib.assemble.source import Conversation, ReadOptions
from med42lib.core.hashing import content_hash
from med42lib.formats.prompt import multiple_choice, open_question
from med42lib.formats.records import Exchange, right_positions
from med42lib.formats.rejects import ExcludedRecord
from med42lib.readers.publishers.question import Question, check_can_be_asked


def choice_conversation(question: Question, read_options: ReadOptions, *, group: str = "") -> Conversation:
    r"""Write a multiple-choice question as a conversation.

    As `letters`:  "Which vitamin ...?\nA. Vitamin A\nB. Vitamin C"  →  "B. Vitamin C"
    as `texts`:    "Which vitamin ...?"                              →  "Vitamin C"

    The options keep the publisher's order. The publisher's explanation follows the answer, as far as what it says
    about the answer's letter is true and can be understood: see `explanations`.

    Raises:
        ExcludedRecord: If the question cannot be asked, or its right option stands twice: one of two equally right
            answers would be taught as wrong.
    """
    check_can_be_asked(question)
    if len(right_positions(question.options, question.gold)) > 1:
        raise ExcludedRecord("the right option stands twice", repr(question.options))
    right = question.options[question.gold]
    letters_shown = read_options.multiple_choice == "letters"
    if letters_shown:
        prompter = multiple_choice(question.text, question.options, context=question.context)
        answer = f"{ascii_uppercase[question.gold]}. {right}"
    else:
        prompter = open_question(question.text, context=question.context)
        answer = right
    if read_options.explanations and question.explanation:
        told = told_explanation(question.explanation, question.options, question.gold, letters_shown=letters_shown)
        answer = f"{answer}\n{told}" if told else answer
    return Conversation(question.publisher_id, (Exchange(prompter, answer),), question.text, group=group)


def question_conversation(question: str, answer: str, *, publisher_id: str = "", instruction: str = "") -> Conversation:
    """Write a question and its answer as a conversation; an instruction stands before the question."""
    prompter = f"{instruction}\n{question}" if instruction else question
    return Conversation(publisher_id, (Exchange(prompter, answer),), question)


def choose_wording(wordings: Sequence[str], *content: str) -> str:
    """Choose one of several wordings by what the record says: the same record always gets the same one."""
    return wordings[int(content_hash(*content), 16) % len(wordings)]
