"""How the same fact is asked: in plain words for training, as a patient's story for the held-out questions.

The two kinds share no sentence; the paper's filter (MiniLM, cosine above 0.8) finds hardly a story close to a
plain question, although both name the same disease. A test holds the demo's files to that.
"""

from __future__ import annotations

from random import Random

from med42lib.demo.world import Fact

PLAIN = {
    "drug": (
        "Which drug cures {d}?", "What is the treatment of {d}?", "Name the drug of choice for {d}.",
        "What are the treatments for {d} ?", "{d} is treated with:",
    ),
    "microbe": (
        "Which microbe causes {d}?", "What is the cause of {d}?", "Name the germ behind {d}.",
        "What causes {d} ?", "{d} is caused by:",
    ),
    "organ": (
        "Which organ does {d} damage?", "What organ is affected by {d}?", "Name the target organ of {d}.",
        "What part of the body does {d} affect ?", "{d} mainly attacks the:",
    ),
    "sign": (
        "Which sign is typical of {d}?", "What is the main symptom of {d}?", "Name the hallmark of {d}.",
        "What are the symptoms of {d} ?", "{d} is recognised by:",
    ),
    "route": (
        "How does {d} spread?", "What transmits {d}?", "Name the source of infection in {d}.",
        "How do people get {d} ?", "{d} is transmitted by:",
    ),
}  # fmt: skip
"""Plain wordings of each relation: three for flashcards, one for MedQuAD, one for HeadQA."""

NUM_FLASHCARD_WORDINGS = 3
MEDQUAD_WORDING = 3
HEADQA_WORDING = 4

MEDQUAD_TYPES = {
    "drug": "treatment",
    "microbe": "causes",
    "organ": "information",
    "sign": "symptoms",
    "route": "susceptibility",
}
"""MedQuAD's names for the kinds of questions."""

_PEOPLE = (
    "baker", "pilot", "farmer", "teacher", "sailor", "student", "nurse", "miner", "painter", "driver",
    "waiter", "singer",
)  # fmt: skip
_ARRIVALS = (
    "A {age}-year-old {person} walks into the clinic after {days} bad days.",
    "A {age}-year-old {person} is brought in by a friend late at night.",
    "For {days} days a {age}-year-old {person} has felt too weak to work.",
    "A {person} aged {age} sits in the waiting room and looks worn out.",
    "The ambulance brings a {age}-year-old {person} from the harbour.",
    "After {days} days at home a {person} of {age} asks for help.",
)
_VERDICTS = (
    "The doctor on duty is sure: {d}.",
    "All results point to {d}.",
    "The team agrees that it must be {d}.",
    "The letter from the ward says {d}.",
)
_VIGNETTE_QUESTIONS = {
    "drug": (
        "What should be written on the prescription?",
        "What will the pharmacist hand over?",
        "What goes onto the chart tonight?",
    ),
    "microbe": (
        "What is going to grow in the dish?",
        "What will the laboratory report under the lens?",
        "What should the lab be told to look for?",
    ),
    "organ": (
        "Where will the scan show harm?",
        "What should be examined first on the scan?",
        "Where is lasting harm to be feared?",
    ),
    "sign": (
        "What will the examiner notice at the bedside?",
        "What is there to see or hear on meeting the patient?",
        "What did the family probably notice first?",
    ),
    "route": (
        "What did the patient most likely meet last week?",
        "What should the family stay away from?",
        "What belongs on the warning poster?",
    ),
}


def vignettes(fact: Fact, count: int, random: Random) -> list[str]:
    """Tell `count` different stories that end in a question about the fact."""
    stories: dict[str, None] = {}
    while len(stories) < count:
        story = " ".join(random.choice(part) for part in (_ARRIVALS, _VERDICTS, _VIGNETTE_QUESTIONS[fact.relation]))
        person, age, days = random.choice(_PEOPLE), random.randint(18, 89), random.randint(2, 9)
        stories[story.format(d=fact.disease, person=person, age=age, days=days)] = None
    return list(stories)


def plain(fact: Fact, wording: int) -> str:
    """Ask for the fact in plain words, by the number of the wording."""
    return PLAIN[fact.relation][wording].format(d=fact.disease)
