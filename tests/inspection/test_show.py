from dataclasses import replace

import pytest

from med42lib.formats.contamination import NearestExample, Pair
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.inspection import show
from med42lib.inspection.find import SourceRows
from med42lib.inspection.history import Assembled, Compared, History
from med42lib.inspection.packed import Packed, Piece, Token
from med42lib.inspection.raw import RawRecord
from med42lib.inspection.show import MAX_CHARACTERS, Style, history_lines, listing_lines, token_lines, use_colour
from tests.hostile import UNSEEN, unseen_in

PLAIN, COLOUR = Style(colour=False), Style(colour=True)
TOKENS = (
    Token(4, 1, "<s>", False),
    Token(5, 10, "Ask", False),
    Token(6, 11, ":\n", False),
    Token(7, 12, "", True),
    Token(8, 13, "é", True),
    Token(9, 2, "</s>", True),
)
EXAMPLE = Example("cards", "CC0-1.0", "Be brief.", (Exchange("Ask", "é"),), "Ask", Origin("c1", "cards.jsonl", 3))
PAIR = Pair("exam/1", "exam", "cards/ab", "cards", 0.91234, "Ask?", "Ask", label="reworded")
SHARE = {"title": "Cards", "attribution": "The makers", "citation": "", "sampled": 5, "kept": 1_000}
HISTORY = History(
    "cards/ab",
    "s3://b/pack/k/packed",
    "2026-01-01T00:00:00+00:00",
    ["'model' of pack is no longer there"],
    RawRecord("s3://b/data", "cards.jsonl", 3, "f" * 64, {"q": "Ask"}, ""),
    Assembled("s3://b/assemble/k/dataset", "assemble", [2, 7], 1_234, EXAMPLE, SHARE, "f" * 64),
    Compared(
        "s3://b/decon",
        0.8,
        "question",
        "flag",
        1_273,
        [PAIR],
        [NearestExample("exam/1", "exam", "cards/ab", 0.91234, stem_only=False)],
        True,
    ),
    Packed("s3://b/pack", {"policy": "best_fit", "too_long": None}, 9, (Piece(3, 4, 10, 0, TOKENS),), "", ""),
)


def shown(history: History, width: int = 100) -> str:
    return "\n".join(history_lines(history, PLAIN, width))


def test_a_pair_that_words_alone_found_says_so() -> None:
    assert HISTORY.decontaminate is not None
    alone = replace(PAIR, detectors=["ngrams"], cosine=0.5)
    text = shown(replace(HISTORY, decontaminate=replace(HISTORY.decontaminate, pairs=[alone])))
    assert "    0.5000      exam/1: rewording, found by words alone\n" in text


def test_every_step_of_the_history_is_shown() -> None:
    text = shown(HISTORY)
    for part in (
        "cards/ab\n  in            s3://b/pack/k/packed, made 2026-01-01",
        "  note          'model' of pack is no longer there",
        "\n1 raw\n  file          cards.jsonl, line 3\n  folder        s3://b/data\n  sha256        fff",
        '  record        {\n                 "q": "Ask"\n                }',
        "\n2 assemble\n  row           2, 7 of 1,234, 2 times (s3://b/assemble/k/dataset)",
        "  source        cards: Cards\n  licence       CC0-1.0",
        "  attribution   The makers\n  sampled       5 of the source's 1,000 usable rows\n  publisher id  c1",
        "  system        Be brief.\n  prompter      Ask\n  assistant     é",
        "\n3 decontaminate\n  compared      its question with 1,273 evaluation items; a pair has a cosine above 0.8",
        "  pairs         1\n    0.9123      exam/1: rewording\n                Ask?\n  nearest to    exam/1 (0.9123)",
        "  action        flag: kept in training",
        "\n4 pack\n  settings      policy best_fit (s3://b/pack)",
        "  chunk         3 of 0 to 8, slots 4 to 9: 6 tokens, 3 of them with loss",
        "    ·<s>·Ask·:⏎\n    […][é][</s>]\n  [token] has loss, ·token has none",
    ):
        assert part in text


def test_stages_that_are_not_there_are_said_to_be_missing() -> None:
    text = shown(replace(HISTORY, decontaminate=None, pack=None))
    assert "no findings in this run" in text
    assert "not packed in this run" in text


def test_a_dropped_row_shows_its_rule_and_no_tokens() -> None:
    packed = Packed("s3://b/pack", {}, 9, (), "dropped: longer than chunk_length", "")
    text = shown(replace(HISTORY, pack=packed))
    assert "  note          dropped: longer than chunk_length" in text
    assert "[token]" not in text


def test_a_repeated_rows_tokens_are_shown_once() -> None:
    pieces = (Piece(3, 4, 10, 0, TOKENS), Piece(5, 0, 6, 0, TOKENS))
    text = shown(replace(HISTORY, pack=Packed("s3://b/pack", {}, 9, pieces, "", "")))
    assert text.count("[é]") == 1
    assert "5 of 0 to 8, slots 0 to 5: 6 tokens, 3 of them with loss\n                the same tokens again" in text


def test_long_lines_are_broken_and_long_texts_cut() -> None:
    long = RawRecord("s3://b/data", "cards.json", 3, "", "word " * MAX_CHARACTERS, "")
    text = shown(replace(HISTORY, raw=long), width=60)
    assert max(map(len, text.splitlines())) <= 76  # a sha256 or an address cannot be broken at a space
    assert f"… {4 * MAX_CHARACTERS + 2:,} more characters: --json shows them" in text
    assert "record 3" in text
    assert "not recorded" in text


@pytest.mark.parametrize("width", [20, 40])
def test_tokens_fill_lines_and_none_is_lost(width: int) -> None:
    tokens = [Token(slot, slot, f" w{slot}", slot % 3 == 0) for slot in range(50)]
    lines = list(token_lines(tokens, PLAIN, width))
    assert max(map(len, lines)) <= width
    written = "".join(line.removeprefix("    ") for line in lines)
    assert written == "".join(f"[{t.text}]" if t.loss else f"·{t.text}" for t in tokens)


def test_tokens_without_text_are_shown_by_number_and_control_characters_are_written_out() -> None:
    assert list(token_lines([Token(0, 77, None, False)], PLAIN, 80)) == ["    ·77"]
    assert list(token_lines([Token(0, 7, "\x1b\t", True)], PLAIN, 80)) == ["    [\\x1b⇥]"]
    assert list(token_lines([], PLAIN, 80)) == []


def test_nothing_of_a_record_steers_the_terminal_and_its_lines_stay() -> None:
    text = f"one {UNSEEN}\n\ttwo"
    raw = RawRecord(text, text, 3, text, text, text)
    example = Example(text, text, text, (Exchange(text, text),), text, Origin(text, text, 3))
    assembled = Assembled(text, text, [2], 3, example, {**SHARE, "title": text, "attribution": text}, text)
    compared = Compared(text, 0.8, text, text, 3, [replace(PAIR, item_id=text, item_text=text)], [], True)
    token = Token(4, 1, text, True)
    packed = Packed(text, {text: text}, 9, (Piece(3, 4, 5, 0, (token,)),), text, text)
    written = shown(History(text, text, text, [text], raw, assembled, compared, packed))
    assert not unseen_in(written)
    assert "\n                    two" in written
    assert not [line for line in written.splitlines() if line.startswith("two")]


def test_questions_are_cut_to_the_width_and_cannot_break_lines() -> None:
    rows = [("cards/ab", "What\nis\x1b " + "x" * 200)]
    lines = list(listing_lines([SourceRows("cards", 1_000, rows)], "s3://b/dataset", Style(colour=False), 60))
    assert lines[:3] == ["1,000 training rows in s3://b/dataset", "", "cards 1,000 rows"]
    assert lines[3].startswith("  cards/ab  What is\\x1b xxx")
    assert len(lines[3]) <= 60
    assert lines[3].endswith("…")


def test_no_name_steers_the_terminal() -> None:
    name = f"{UNSEEN}\n[report] x"
    lines = list(listing_lines([SourceRows(name, 1, [(name, UNSEEN)])], name, Style(colour=False), 60))
    assert len(lines) == len(list(listing_lines([SourceRows("a", 1, [("b", "c")])], "d", Style(colour=False), 60)))
    assert not unseen_in("".join(lines))


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (False, {}, False),
        (False, {"MED42_TERMINAL": "1"}, True),
        (False, {"MED42_TERMINAL": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_switched_off(
    terminal: bool, environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "MED42_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(show.sys.stdout, "isatty", lambda: terminal, raising=False)
    assert use_colour() is expected


def test_loss_is_marked_with_and_without_colour() -> None:
    assert PLAIN.token(" is", loss=True, odd=False) == "[ is]"
    assert PLAIN.token(" is", loss=False, odd=True) == "· is"
    assert COLOUR.token(" is", loss=True, odd=False) == "\x1b[32m is\x1b[0m"
    assert COLOUR.token(" is", loss=False, odd=True) == "\x1b[2;4m is\x1b[0m"
    assert PLAIN.heading("raw") == PLAIN.dim("raw") == "raw"


@pytest.mark.parametrize("loss", [True, False])
def test_the_width_is_that_of_what_is_seen(loss: bool) -> None:
    assert PLAIN.token_width(" is", loss=loss) == len(PLAIN.token(" is", loss=loss, odd=False))
    assert COLOUR.token_width(" is", loss=loss) == 3
