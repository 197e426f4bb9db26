import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.contamination import Label, Pair
from med42lib.report.estimates import Estimate, wilson
from med42lib.report.review import (
    COLUMNS,
    Found,
    Pairs,
    Verdict,
    allocate,
    precision_lines,
    read_verdicts,
    write_sample,
)
from med42lib.store.artifacts import Source


def make_pair(number: int, label: Label, cosine: float) -> Pair:
    texts = {"item_request": "Why?\nA. so", "item_answer": "A. so", "example_request": "=1+1", "example_answer": "so"}
    ids = f"exam/{number}", "exam", f"cards/{number}", "cards"
    return Pair(*ids, cosine, "Why?", "=1+1", label=label.value, **texts)


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    """90 flagged rewordings of 0.82, 8 flagged repeats of 1.0, 2 that words alone found, no stems."""
    kinds = {
        "pairs.jsonl": [(Label.REWORDED, 0.82, 90), (Label.SAME_ANSWER, 1.0, 8)],
        "overlaps.jsonl": [(Label.TOPIC_ONLY, 0.5, 2)],
        "stems.jsonl": [],
    }
    number = 0
    for name, groups in kinds.items():
        rows = []
        for label, cosine, count in groups:
            rows += [make_pair(number + offset, label, cosine) for offset in range(count)]
            number += count
        (tmp_path / name).write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    return Pairs.read(Source(str(tmp_path)))


Fill = Callable[[Callable[[int, dict[str, str]], str]], Path]


@pytest.fixture
def fill(pairs: Pairs, tmp_path: Path) -> Fill:
    """Draw 30 pairs, and fill the sample in as a function of row and cells says."""

    def filled(verdict: Callable[[int, dict[str, str]], str]) -> Path:
        path = tmp_path / "sample.csv"
        write_sample(path, pairs.draw(30, seed=1))
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows({**row, "verdict": verdict(number, row)} for number, row in enumerate(rows))
        return path

    return filled


def test_groups_share_a_number_evenly_as_far_as_they_go() -> None:
    assert allocate({"a": 9, "b": 2, "c": 8}, 10) == {"b": 2, "c": 4, "a": 4}
    assert allocate({"a": 9, "b": 2}, 100) == {"b": 2, "a": 9}
    assert sum(allocate({"a": 9, "b": 9, "c": 9}, 4).values()) == 4


def test_each_label_and_band_is_drawn_from_alike_and_the_same_seed_draws_the_same(pairs: Pairs) -> None:
    drawn = pairs.draw(30, seed=1)

    assert Counter(pair.label for pair in drawn) == {"reworded": 20, "same_answer": 8, "topic_only": 2}
    assert pairs.draw(30, seed=1) == drawn
    assert {pair.item_id for pair in pairs.draw(30, seed=2)} != {pair.item_id for pair in drawn}
    assert [pair.label for pair in drawn] != sorted(pair.label for pair in drawn)


def test_a_spreadsheet_gets_texts_no_formulas_and_nothing_that_sways(pairs: Pairs, tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    write_sample(path, pairs.draw(1, seed=0))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert row["example_request"] == "'=1+1"
    assert row["verdict"] == ""
    assert not {"label", "cosine", "detectors"} & row.keys()


def test_a_pair_whose_id_looks_like_a_formula_is_known_again(tmp_path: Path) -> None:
    pairs = Pairs([(Found.FLAGGED, replace(make_pair(0, Label.REWORDED, 0.82), item_id="exam/a;=1"))])
    path = tmp_path / "sample.csv"
    write_sample(path, pairs.draw(1, seed=0))
    text = path.read_text(encoding="utf-8-sig")
    assert "exam/a;'=1,cards/0" in text
    path.write_text(text.replace("\n,,", "\nleak,,"))
    assert read_verdicts(path, pairs) == {("exam/a;=1", "cards/0"): Verdict.LEAK}


def test_precision_weighs_strata_by_their_size_and_knows_without_error_what_was_judged_whole(
    pairs: Pairs, fill: Fill
) -> None:
    """Every repeat is a leak, half of the rewordings are, and what words found is not."""
    of_label = {pair.item_id: pair.label for pair in pairs.draw(30, seed=1)}
    turns = iter(range(100))

    def verdict(_: int, row: dict[str, str]) -> str:
        label = of_label[row["item_id"]]
        if label == Label.REWORDED:
            return ("Leak", "not  a leak")[next(turns) % 2]
        return "leak" if label == Label.SAME_ANSWER else "not a leak"

    found = {one.title: one for one in pairs.judge(read_verdicts(fill(verdict), pairs), 0.95)}

    repeats, flagged = found["Same question and answer"].share, found["All flagged pairs"].share
    assert repeats is not None
    assert flagged is not None
    assert (repeats.low, repeats.value, repeats.high) == (1, 1, 1)
    assert flagged.value == pytest.approx((90 * 0.5 + 8) / 98)
    assert 0.3 < flagged.low < flagged.value < flagged.high < 0.75
    assert found["All found by words alone"].share == found["Topic only"].share
    assert "Same stem only" not in found
    table = list(precision_lines(list(found.values()), 0.95))
    assert table[1].split() == [
        "Same",
        "question",
        "and",
        "answer",
        "8",
        "8",
        "0",
        "0",
        *["100.0", "[100.0,", "100.0]"] * 2,
        *["[67.6,", "100.0]", "8"],
    ]


def test_pairs_of_one_question_that_agree_tell_of_other_questions_as_one() -> None:
    """Ten questions with four repeats each, all of them judged: of these 40 nothing is left to doubt."""
    repeats = [replace(make_pair(n, Label.SAME_ANSWER, 1.0), item_id=f"exam/{n // 4}") for n in range(40)]
    pairs = Pairs((Found.FLAGGED, pair) for pair in repeats)
    verdicts = {
        (pair.item_id, pair.example_id): (Verdict.LEAK, Verdict.NO_LEAK)[n // 4 % 2] for n, pair in enumerate(repeats)
    }
    found = pairs.judge(verdicts, 0.95)[0]
    assert found.share == Estimate(0.5, 0.5, 0.5)
    assert found.num_effective == pytest.approx(9)
    assert found.of_others is not None
    assert found.of_others.low == pytest.approx(wilson(4.5, 9, 0.95).low, abs=0.03)
    [row] = [line for line in precision_lines([found], 0.95) if line.startswith("Same question")]
    assert row.split()[-3:] == ["[22.7,", "77.3]", "9"]


def test_unsure_verdicts_are_left_out_and_lower_the_other_share(pairs: Pairs, fill: Fill) -> None:
    path = fill(lambda number, row: "unsure" if number % 2 else "leak" if int(row["item_id"][5:]) < 98 else "")
    flagged = next(one for one in pairs.judge(read_verdicts(path, pairs), 0.95) if one.title == "All flagged pairs")
    assert flagged.share is not None
    assert flagged.at_least is not None
    assert flagged.share.value == 1.0
    assert 0.3 < flagged.at_least.value < 0.7
    assert flagged.verdicts[Verdict.UNSURE] > 5


def test_what_has_no_verdict_does_not_count_and_is_named(pairs: Pairs, fill: Fill) -> None:
    path = fill(lambda _, row: "leak" if int(row["item_id"][5:]) < 90 else "")
    found = pairs.judge(read_verdicts(path, pairs), 0.95)
    flagged = next(one for one in found if one.title == "All flagged pairs")
    assert (flagged.num_pairs, flagged.num_unseen) == (90, 8)
    assert "All flagged pairs: 8 more pairs, of strata without a verdict, do not count." in list(
        precision_lines(found, 0.95)
    )


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_of_spreadsheets_are_read(pairs: Pairs, fill: Fill, tmp_path: Path, delimiter: str) -> None:
    with fill(lambda *_: "leak").open(newline="") as stream:
        rows = list(csv.reader(stream))
    other = tmp_path / "other.csv"
    with other.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    assert len(read_verdicts(other, pairs)) == 30


def test_a_verdict_that_is_none_is_refused_with_file_and_line(pairs: Pairs, fill: Fill) -> None:
    path = fill(lambda number, _: "perhaps" if number == 2 else "")
    # The texts of each row take two lines of the file.
    with pytest.raises(
        DataError, match=r"sample\.csv:6: the verdict 'perhaps' is none; write leak, not a leak, unsure"
    ):
        read_verdicts(path, pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("verdict,item_id,example_id\nleak,exam/0,cards/1\n", r"sample\.csv:2: no pair of \('exam/0', 'cards/1'\)"),
        ("verdict,item_id,example_id\n" + "leak,exam/0,cards/0\n" * 2, r"sample\.csv:3: the pair .* is there twice"),
        ("verdict,item_id,example_id\nleak,exam/0\n", r"sample\.csv:2 has 2 columns, the first line 3"),
        ("verdict,item_id,example_id\n,exam/0,cards/0\n", r"sample\.csv: no verdict is filled in"),
        ("verdict,item\n", r"sample\.csv:1 has no column item_id, example_id"),
        ("", r"sample\.csv:1 has no column verdict"),
        ("verdict,item_id,example_id\nleak,exam/\xe9,cards/0\n", r"sample\.csv is not UTF-8 .*save it as `CSV UTF-8`"),
    ],
)
def test_a_file_that_is_no_sample_is_refused_with_the_place(
    pairs: Pairs, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "sample.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        read_verdicts(tmp_path / "sample.csv", pairs)
