from random import Random

import pytest

from med42lib.demo.make_data import worlds
from med42lib.demo.world import RELATIONS, World, build_worlds, random_stems


@pytest.fixture(scope="module")
def small() -> World:
    return build_worlds(1, {"A": 20})["A"]


def test_the_two_worlds_share_no_name_and_no_fact() -> None:
    a, b = worlds()["A"], worlds()["B"]
    assert not a.names & b.names
    assert not set(a.facts) & set(b.facts)


def test_no_two_names_begin_alike() -> None:
    stems = [name[:4] for world in worlds().values() for name in world.names]
    assert len(stems) == len(set(stems))


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert build_worlds(1, {"A": 20}) == build_worlds(1, {"A": 20})
    assert build_worlds(1, {"A": 20}) != build_worlds(2, {"A": 20})


def test_every_disease_has_one_fact_of_each_relation(small: World) -> None:
    assert [(f.disease, f.relation) for f in small.facts] == [(d, r) for d in small.diseases for r in RELATIONS]
    assert all(fact.value in small.values[fact.relation] for fact in small.facts)


def test_every_disease_has_its_own_drug_and_microbe(small: World) -> None:
    for relation in ("drug", "microbe"):
        values = [fact.value for fact in small.facts if fact.relation == relation]
        assert len(values) == len(set(values)) == len(small.diseases)


def test_options_are_different_and_hold_the_value_once(small: World) -> None:
    for fact in small.facts:
        options = small.options(fact, 5, Random(0))
        assert len(set(options)) == 5
        assert options.count(fact.value) == 1
        assert set(options) <= set(small.values[fact.relation])


def test_the_value_stands_at_every_position_about_equally_often(small: World) -> None:
    random = Random(0)
    positions = [small.options(fact, 4, random).index(fact.value) for fact in small.facts * 10]
    assert all(abs(positions.count(position) - 250) < 60 for position in range(4))


def test_stems_come_once_each_in_an_order_the_seed_decides() -> None:
    stems = list(random_stems(Random(0)))
    assert len(stems) == len(set(stems)) == 70**2
    assert stems == list(random_stems(Random(0))) != sorted(stems)
