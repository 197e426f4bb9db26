"""Two invented medical worlds: A teaches the base model how to answer, B is what fine-tuning teaches.

Every disease, drug and microbe has a name of random syllables, so that no model can know it beforehand. The two
worlds share the syllables, the common nouns (organs, signs, routes of infection) and the English around them,
but no name and no fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random

RELATIONS = ("drug", "microbe", "organ", "sign", "route")

SYLLABLES = tuple("".join(pair) for pair in product("bdfgklmnprstvz", "aeiou"))
DISEASE_ENDINGS = ("rosis", "litis", "nemia", "gosis")
DRUG_ENDINGS = ("xil", "vone", "trix", "dase")
MICROBE_ENDINGS = ("coccus", "bacter", "virus", "mona")

ORGANS = (
    "Spleen", "Liver", "Thyroid", "Bladder", "Inner ear", "Retina", "Kidney", "Stomach",
    "Pancreas", "Skin", "Heart", "Lung", "Spine", "Tongue", "Elbow joint", "Nose",
)  # fmt: skip
SIGNS = (
    "Blue fingertips", "Red palms", "Slow pulse", "Loud hiccups", "Yellow nails", "Stiff neck", "Dry eyes",
    "Swollen ankles", "Green sweat", "Hoarse voice", "Cold hands", "White tongue", "Night cough", "Shaking legs",
    "Itchy scalp", "Sweet breath",
)  # fmt: skip
ROUTES = (
    "Sandfly bites", "Raw shellfish", "Shared towels", "Well water", "Pigeon dust", "Unwashed salad",
    "Cave air", "Goat milk", "Wet soil", "Old blankets", "River mud", "Cat scratches", "Warm beer", "Tick bites",
    "Public pools", "Wild honey",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know: the `relation` of `disease` is `value`."""

    disease: str
    relation: str
    value: str


@dataclass(frozen=True, slots=True)
class World:
    """A world: all values each relation can take, and the facts, disease by disease in the order of `RELATIONS`."""

    diseases: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    facts: tuple[Fact, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every invented name: of diseases, drugs and microbes."""
        return frozenset(self.diseases + self.values["drug"] + self.values["microbe"])

    def options(self, fact: Fact, num_options: int, random: Random) -> list[str]:
        """Put the fact's value among wrong ones of the same relation, in random order."""
        wrong = [value for value in self.values[fact.relation] if value != fact.value]
        options = [fact.value, *random.sample(wrong, num_options - 1)]
        random.shuffle(options)
        return options


def build_worlds(seed: int, num_diseases: dict[str, int]) -> dict[str, World]:
    """Invent worlds, each with its number of diseases; the same seed gives the same worlds everywhere.

    No two names, of whatever kind and world, share their first two syllables.
    """
    random = Random(f"worlds {seed}")
    stems = random_stems(random)
    return {letter: _world(random, stems, count) for letter, count in num_diseases.items()}


def random_stems(random: Random) -> Iterator[str]:
    """Give every stem of two syllables once, in random order."""
    stems = ["".join(pair).capitalize() for pair in product(SYLLABLES, SYLLABLES)]
    random.shuffle(stems)
    return iter(stems)


def _world(random: Random, stems: Iterator[str], num_diseases: int) -> World:
    """Give each disease a drug and a microbe of its own, and an organ, a sign and a route that others share."""

    def names(endings: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(next(stems) + random.choice(endings) for _ in range(num_diseases))

    diseases, drugs, microbes = names(DISEASE_ENDINGS), names(DRUG_ENDINGS), names(MICROBE_ENDINGS)
    columns = [drugs, microbes, *(random.choices(nouns, k=num_diseases) for nouns in (ORGANS, SIGNS, ROUTES))]
    rows = zip(diseases, zip(*columns, strict=True), strict=True)
    facts = [Fact(disease, *pair) for disease, row in rows for pair in zip(RELATIONS, row, strict=True)]
    values = dict(zip(RELATIONS, (drugs, microbes, ORGANS, SIGNS, ROUTES), strict=True))
    return World(diseases, values, tuple(facts))
