from random import Random

import pytest

from med42lib.demo.wording import (
    HEADQA_WORDING,
    MEDQUAD_TYPES,
    MEDQUAD_WORDING,
    NUM_FLASHCARD_WORDINGS,
    PLAIN,
    plain,
    vignettes,
)
from med42lib.demo.world import RELATIONS, Fact

FACTS = [Fact("Lomirosis", relation, "Anything") for relation in RELATIONS]


@pytest.mark.parametrize("fact", FACTS, ids=RELATIONS)
def test_plain_wordings_name_the_disease_and_differ(fact: Fact) -> None:
    questions = [plain(fact, wording) for wording in range(len(PLAIN[fact.relation]))]
    assert len(set(questions)) == len(questions)
    assert all("Lomirosis" in question for question in questions)


@pytest.mark.parametrize("fact", FACTS, ids=RELATIONS)
def test_stories_name_the_disease_end_in_a_question_and_differ(fact: Fact) -> None:
    stories = vignettes(fact, 20, Random(0))
    assert len(set(stories)) == 20
    assert all("Lomirosis" in story and story.endswith("?") for story in stories)


@pytest.mark.parametrize("fact", FACTS, ids=RELATIONS)
def test_stories_never_give_the_value_away(fact: Fact) -> None:
    assert not any(fact.value in story for story in vignettes(fact, 20, Random(0)))


def test_the_last_sentence_of_a_story_tells_the_relation() -> None:
    endings = {fact.relation: {s.rsplit(". ", 1)[1] for s in vignettes(fact, 50, Random(0))} for fact in FACTS}
    assert sum(map(len, endings.values())) == len(set().union(*endings.values())) == 15


def test_every_source_has_a_wording_of_its_own_for_every_relation() -> None:
    wordings = [*range(NUM_FLASHCARD_WORDINGS), MEDQUAD_WORDING, HEADQA_WORDING]
    assert set(PLAIN) == set(MEDQUAD_TYPES) == set(RELATIONS)
    assert all(wordings == list(range(len(questions))) for questions in PLAIN.values())
