"""Which questions belong together, so that their answers are not independent draws.

Shape key:
    N: items
    W: different words
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from med42lib.formats.records import BenchmarkItem, asked_of_several_contexts

NEAR_DUPLICATE = 0.6
"""Cosine of two questions' words, rarer ones weighing more, from which on they are near-duplicates: of 9,682 questions
of the paper's benchmarks, 440 are then joined to others, the largest cluster has 8."""
_COMMON = 0.02  # words of a larger share of questions make no two of them alike
RUN = 13
"""Words in a row that two texts have in common only if one is taken from the other, or both from a third: Brown et al.,
Language Models are Few-Shot Learners (2020), appendix C."""
SERIES = 0.4
"""Share of a question's runs that another has, from which on both are of one series. Of the same 9,682 questions, one
pair is so that is no near-duplicate, with 44 %; phrases of examinations make no more than 20 %, and the demo's stories
of two diseases no more than 38 %."""
INSTRUCTION = 0.5
"""Share of a benchmark's questions that no series has: what more of them say in a row is an instruction."""
_ROWS_AT_ONCE = 1024  # of 20,000 items all at once would take 2 GB, of 40,000 four times that
_WORDS = re.compile(r"\w+")


def cluster(items: Sequence[BenchmarkItem], matched: Mapping[str, str]) -> NDArray[np.int64]:
    """Number the clusters of N items from 0: items joined by any of these, or through others, are in one.

    The same group, if their owner names one; the same context (PubMedQA's abstract), or the same question with the same
    options, asked of none; the same training example that leaked items match; a vignette in common; near-duplicates.
    Where one question is asked of several contexts, these alone are compared. Memory is that of all pairs of 1,024
    questions with others which share a rare word, time that of all pairs.

    Args:
        items: In the order of the result.
        matched: The training example that a leaked item matches best, by the item's id.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    of_several = asked_of_several_contexts(items)
    words = [_words(item.context if item.id in of_several else item.question) for item in items]
    joined = [
        *_equal([item.group and (item.benchmark, item.group) for item in items]),
        *_equal([item.context for item in items]),
        *_equal([matched.get(item.id, "") for item in items]),
        *_equal(map(_asked, items)),
        *_series(words, [item.benchmark for item in items]),
        *_near_duplicates(words),
    ]
    first, second = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(items), len(items)))
    clusters: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return clusters


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORDS.findall(text)]


def _asked(item: BenchmarkItem) -> tuple[str, ...]:
    """Give the words of context, question and a task's prompt, and the options in any order, or the written answers."""
    task = item.asked or item.generation
    said = f"{item.context} {item.question} {task.prompt if task else ''}"
    return *_words(said), *sorted(item.options or item.right_answers)


def _equal(keys: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Join each position to the first with the same key; an empty one is no key."""
    first: dict[Hashable, int] = {}
    for position, key in enumerate(keys):
        if key:
            yield first.setdefault(key, position), position


def _series(words: Sequence[Sequence[str]], benchmarks: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Join questions to the next that has two fifths of the runs of either: they ask other things of one vignette.

    Of a run only the next that has it is looked at, so that time and memory grow with the texts alone.
    """
    runs = [{run for run in _runs(said) if "" not in run} for said in _without_instructions(words, benchmarks)]
    having: dict[tuple[str, ...], list[int]] = {}
    for position, own in enumerate(runs):
        for run in own:
            having.setdefault(run, []).append(position)
    shared = Counter(pair for positions in having.values() for pair in pairwise(positions))
    yield from (pair for pair, num in shared.items() if num >= SERIES * min(len(runs[question]) for question in pair))


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[first : first + RUN]) for first in range(len(words) - RUN + 1)]


def _without_instructions(words: Sequence[Sequence[str]], benchmarks: Sequence[str]) -> Iterator[list[str]]:
    """Give each question's words, with an empty one for each in a run that most questions of its benchmark have."""
    num_questions = Counter(benchmarks)
    num_saying = Counter((name, run) for name, said in zip(benchmarks, words, strict=True) for run in set(_runs(said)))
    for name, said in zip(benchmarks, words, strict=True):
        most = INSTRUCTION * num_questions[name]
        begin = [first for first, run in enumerate(_runs(said)) if num_saying[name, run] > most]
        of_instruction = {first + place for first in begin for place in range(RUN)}
        yield ["" if place in of_instruction else word for place, word in enumerate(said)]


def _near_duplicates(words: Sequence[Collection[str]]) -> Iterator[tuple[int, int]]:
    """Join texts by the cosine of their words, each weighing the logarithm of how rare it is (TF-IDF)."""
    from scipy.sparse import coo_array

    different = [sorted(set(said)) for said in words]
    numbers: dict[str, int] = {}
    columns = np.array([numbers.setdefault(word, len(numbers)) for said in different for word in said], dtype=np.int64)
    rows = np.repeat(np.arange(len(words)), [len(said) for said in different])
    num_texts_W = np.bincount(columns, minlength=len(numbers))
    weights = np.log1p(len(words) / num_texts_W)[columns]
    lengths_N = np.sqrt(np.bincount(rows, weights=weights**2, minlength=len(words)))
    rare = num_texts_W[columns] <= max(2, _COMMON * len(words))
    shape = (len(words), len(numbers))
    of_rare = coo_array((weights[rare] / lengths_N[rows[rare]], (rows[rare], columns[rare])), shape=shape).tocsr()
    for start in range(0, len(words), _ROWS_AT_ONCE):
        cosines = (of_rare[start : start + _ROWS_AT_ONCE] @ of_rare.T).tocoo()
        row = cosines.row + start
        near = (cosines.data >= NEAR_DUPLICATE) & (row < cosines.col)
        yield from zip(row[near].tolist(), cosines.col[near].tolist(), strict=True)
