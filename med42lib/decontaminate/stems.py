"""Stems that ask nothing by themselves: "Which of the following statements is true?" stands above any options.

Two questions with such a stem are the same only if their options or their answer agree as well; a pair of which neither
does is reported as a pair of stems, and is no leak. A question that items ask of several contexts ("Does this report
mention pneumonia?") is such a stem too: two are the same only if their contexts are.
"""

from __future__ import annotations

from med42lib.decontaminate.words import spaced, words
from med42lib.formats.records import BenchmarkItem

RUN = 5
"""Words in a row by which contexts are compared: fewer are phrases, such as "there is no evidence of"."""
MOST_OWN_WORDS = 1
"""A stem with one word of its own ("Which statement about the kidney is true?") still leaves open what is asked."""

_FUNCTION_WORDS = (
    "a about above according after all also among an and any are as at be been before being below between both "
    "but by can concerning could did do does each either except for from given had has have her his how if in "
    "into is it its least less likely many may might more most must neither no none nor not of on one only or "
    "other out over regarding shall should some than that the their them then there these they this those to two "
    "under was were what when where which while who whom whose why will with would you"
)
_EXAM_WORDS = (
    "alternative alternatives answer answers appropriate assertion assertions best case cause caused causes "
    "characteristic characteristics choice choose chosen commonest common condition conditions considered correct "
    "correctly describes describe diagnosis disease diseases drug exception example false feature features "
    "finding findings following happens identify incorrect incorrectly indicate investigation management mark "
    "name next option options patient patients pick point produced question questions regard relation respect "
    "responsible right said say says seen select sentence sentences statement statements step symptom symptoms "
    "test treatment true type types untrue used valid wrong"
)
_VERDICTS = frozenset({"yes", "maybe"})
_NOT_OWN = frozenset(f"{_FUNCTION_WORDS} {_EXAM_WORDS}".split())


def is_generic(question: str, *, most_own_words: int = MOST_OWN_WORDS) -> bool:
    """Say whether a question has hardly a word but those that any examination has. English ones alone are known.

    A question of own words alone is none: in scripts without spaces a whole sentence is one word.
    """
    said = set(words(question))
    own = said - _NOT_OWN
    return len(own) <= most_own_words and len(own) < len(said)


def telling_options(item: BenchmarkItem) -> list[str]:
    """Give the options that have a word of their own; "Yes", "No", "None of the above" and letters alone have not.

    Where there are no options, since the answer is written, the right answers take their place.
    """
    if item.has_bare_letters:
        return []
    return [option for option in item.options or item.right_answers if set(words(option)) - _NOT_OWN - _VERDICTS]


def agrees(item: BenchmarkItem, said: str) -> bool:
    """Say whether an example speaks of an item's matter: of a right answer, or of half its options at least.

    Options that say nothing by themselves do not count.

    Args:
        item: The evaluation item.
        said: All that prompter and assistant say in the training example.
    """
    text = spaced(said)
    telling = telling_options(item)
    spoken = [option for option in telling if spaced(option) in text]
    return any(option in item.right_answers for option in spoken) or 2 * len(spoken) >= len(telling) > 0


def has_context(context: str, said: str) -> bool:
    """Say whether an example has at least half of a context, by its runs of words; of a shorter one all words."""
    asked = words(context)
    length = min(RUN, len(asked))
    wanted = _runs(asked, length)
    return 2 * len(wanted & _runs(words(said), length)) >= len(wanted)


def _runs(said: list[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(said[first : first + length]) for first in range(len(said) - length + 1)}
