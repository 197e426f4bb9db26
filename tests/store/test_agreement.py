from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from med42lib.store.address import open_store
from med42lib.store.agreement import agree
from med42lib.store.base import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def among(*there: str) -> Callable[[str], bool]:
    return set(there).__contains__


def test_the_first_candidate_counts_to_everyone(store: Store) -> None:
    everything = among("a", "b")
    assert [agree(store, "run/x", candidate, everything) for candidate in ("b", "a", "b")] == ["b", "b", "b"]
    assert agree(store, "run/y", "a", everything) == "a"


def test_a_candidate_that_is_gone_makes_room_for_the_next(store: Store) -> None:
    agree(store, "run", "a", among())
    assert agree(store, "run", "b", among("b")) == "b"
    assert agree(store, "run", "c", among("b", "c")) == "b"


def test_those_of_another_place_go_on_with_their_own(store: Store) -> None:
    assert agree(store, "run", "here", among("here")) == "here"
    assert agree(store, "run", "there", among("there")) == "there"
    assert agree(store, "run", "here again", among("here", "here again")) == "here"


def test_many_at_once_agree(store: Store) -> None:
    candidates = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        agreed = set(pool.map(lambda candidate: agree(store, "run", candidate, among(*candidates)), candidates))
    assert len(agreed) == 1
