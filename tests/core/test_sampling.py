from random import Random

from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.sampling import sample_by_hash, sampling_key

ids = st.lists(st.text(max_size=5), unique=True, max_size=40)


def choose(records: list[str], count: int, seed: int = 0) -> list[str]:
    return sample_by_hash(records, count, seed=seed, id=str)


@given(ids, st.integers(0, 45), st.randoms())
def test_the_order_of_records_does_not_change_what_is_chosen(records: list[str], count: int, random: Random) -> None:
    shuffled = random.sample(records, len(records))
    assert choose(shuffled, count) == choose(records, count)


@given(ids, st.integers(0, 45), st.integers(0, 45))
def test_a_larger_sample_begins_with_the_smaller_one(records: list[str], one: int, other: int) -> None:
    small, large = sorted([one, other])
    assert choose(records, large)[:small] == choose(records, small)


@given(ids, st.integers(0, 45), st.text(max_size=5))
def test_one_more_record_pushes_out_at_most_one(records: list[str], count: int, extra: str) -> None:
    before = set(choose(records, count))
    after = set(choose([*records, extra] if extra not in records else records, count))
    assert len(before - after) <= 1
    assert after - before <= {extra}


@given(ids, st.integers(0, 45))
def test_as_many_are_chosen_as_asked_for_or_as_there_are(records: list[str], count: int) -> None:
    chosen = choose(records, count)
    assert len(chosen) == min(count, len(records))
    assert set(chosen) <= set(records)


def test_another_seed_chooses_other_records() -> None:
    records = [str(n) for n in range(200)]
    assert set(choose(records, 50, seed=1)) != set(choose(records, 50, seed=2))


def test_every_record_has_about_the_same_chance() -> None:
    """Of 100 records, 10 chosen under 400 seeds: each is expected 40 times, standard deviation 6."""
    records = [str(n) for n in range(100)]
    times = dict.fromkeys(records, 0)
    for seed in range(400):
        for record in choose(records, 10, seed=seed):
            times[record] += 1
    assert min(times.values()) > 40 - 4.5 * 6
    assert max(times.values()) < 40 + 4.5 * 6


def test_the_key_is_the_same_on_every_machine() -> None:
    assert sampling_key(42, "headqa/1") == "9887ac16ac8c2bcb1e789f76819dc9ee"
