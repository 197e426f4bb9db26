"""Loading a model's tokenizer from a local folder: a fast one that keeps its size, or an error that says why not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError
from med42lib.core.excerpts import brief
from med42lib.core.json_file import read_json, write_json
from med42lib.core.library_errors import library_errors
from med42lib.formats.model_folder import TOKENIZER_FILE, TOKENIZER_FILES, copy_tokenizer
from med42lib.formats.tokenizer_growth import check_growth

MOST_TOKENS_PER_BYTE = 16
"""A text's bytes in UTF-8. Llama-2 needs 3 for an unknown space, T5 up to 11 for an Arabic ligature."""
_TOKENS_AROUND_A_TEXT = 64
_SETTINGS_FILE = "tokenizer_config.json"
_FROM_ITS_FILE = "PreTrainedTokenizerFast"
"""The class that reads tokenizer.json as it stands; others may build a tokenizer of their own from its vocabulary."""
_OTHER_FILES = "fast_tokenizer_files"
"""Names tokenizers for newer versions of transformers, `tokenizer.4.0.0.json`; nobody here has looked into those."""


def load_fast_tokenizer(folder: Path, advice: str) -> Any:
    """Load a tokenizer, after reading off its files that it may be.

    Args:
        folder: A Hugging Face folder; nothing is looked up elsewhere, and none of its code is run.
        advice: What to do if it cannot be used, as the end of a sentence: "fetch the model again".

    Returns:
        A `PreTrainedTokenizerFast` that makes the tokens which tokenizer.json says, behind the begin token that
            tokenizer_config.json asks for.

    Raises:
        DataError: If a file is missing or broken, the tokenizer is not a fast one, or it would lengthen texts beyond
            measure
            or take forever over them.
        EnvironmentProblem: If it needs a library that is not installed.
    """
    check_tokenizer_files(folder, advice)
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    with library_errors(f"the tokenizer in {folder}", advice):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise DataError(
            f"the tokenizer in {folder} ({type(tokenizer).__name__}) is not a fast one: it gives no character "
            "offsets, and the loss mask needs them; use a model with a fast tokenizer"
        )
    with library_errors(f"the tokenizer in {folder}", advice):
        described = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        for each in (tokenizer.backend_tokenizer, described):
            check_speed(each, folder)
        tokenizer = _as_described(tokenizer, described, folder)
        if _lacks_begin_token(tokenizer, folder, advice):
            tokenizer.add_bos_token = True
        num_tokens = len(tokenizer(_SAMPLE, verbose=False)["input_ids"])
    check_num_tokens(num_tokens, _SAMPLE, folder)
    return tokenizer


def copy_as_read(model: Path, folder: Path, advice: str) -> Any:
    """Copy a model's tokenizer so that it is read the same without the model beside it.

    Which class transformers makes of a tokenizer depends on the model's config.json, which MLflow's copy has not, and
    an adapter's neither. Nor does it heed a begin token that stands in the settings alone.

    Args:
        model: A Hugging Face folder.
        folder: Receives the tokenizer's files.
        advice: What to do if it cannot be used, as the end of a sentence.

    Returns:
        The tokenizer, as `load_fast_tokenizer` does.

    Raises:
        DataError, EnvironmentProblem: As `load_fast_tokenizer` says.
    """
    tokenizer = load_fast_tokenizer(model, advice)
    copy_tokenizer(model, folder)
    if tokenizer.add_bos_token:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        put = {"post_processor": rules["post_processor"]}
        write_json(folder / TOKENIZER_FILE, read_json(folder / TOKENIZER_FILE, advice) | put)
    read = {"tokenizer_class": _FROM_ITS_FILE, "model_input_names": tokenizer.model_input_names}
    put_settings(folder, tokenizer.special_tokens_map | read, advice)
    return tokenizer


def put_settings(folder: Path, settings: Mapping[str, Any], advice: str) -> None:
    """Put entries into a tokenizer's tokenizer_config.json, in place of those of the same names.

    Args:
        folder: Holds the tokenizer.
        settings: The entries.
        advice: What to do if what is there cannot be read, as the end of a sentence.

    Raises:
        DataError: If what is there cannot be read.
    """
    text = json.dumps({**_settings(folder, advice), **settings}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / _SETTINGS_FILE).write_text(f"{text}\n", encoding="utf-8")


def lost_texts(tokenizer: Any) -> list[str]:
    """List the probes that a tokenizer does not give back from their tokens, white space at the ends aside.

    Many published ones lose something: capitals, the difference between forms of Unicode. It is no error, since the
    base was trained so, but what is lost its fine-tune neither sees nor says.
    """
    backend = tokenizer.backend_tokenizer
    back = (backend.decode(backend.encode(text, add_special_tokens=False).ids) for text in _PROBES)
    return [text for text, decoded in zip(_PROBES, back, strict=True) if decoded.strip() != text.strip()]


def _as_described(tokenizer: Any, described: Any, folder: Path) -> Any:
    """Give the tokenizer that tokenizer.json describes, where transformers has built another one of its vocabulary.

    The class that tokenizer_config.json names may bring rules of its own: GPT-2's splits no digits, whatever the file
    says.

    Raises:
        ValueError: If transformers cannot be made to follow the file.
    """
    from transformers import PreTrainedTokenizerFast

    if _differ(tokenizer, described) is None:
        return tokenizer
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **tokenizer.special_tokens_map
    )
    if text := _differ(tokenizer, described):
        raise ValueError(f"transformers makes other tokens of {text!r} than its {TOKENIZER_FILE} says")
    return tokenizer


def _differ(tokenizer: Any, described: Any) -> str | None:
    """Find a text of which the two make different tokens."""
    for each in (tokenizer.backend_tokenizer, described):
        each.no_padding()
        each.no_truncation()
    # Turns have the end token between them, and what follows it is a beginning to some tokenizers.
    probes = (*_PROBES, f"A.{tokenizer.eos_token or ''}\nB")
    pairs = (
        (each.encode(text, add_special_tokens=False).ids for each in (tokenizer.backend_tokenizer, described))
        for text in probes
    )
    return next((text for text, (one, other) in zip(probes, pairs, strict=True) if one != other), None)


def _lacks_begin_token(tokenizer: Any, folder: Path, advice: str) -> bool:
    """Say whether tokenizer_config.json asks for a begin token before a text, and tokenizer.json puts none.

    transformers 4 heeded the entry, so the base was trained so; 5 passes over it. It passes over `add_eos_token` as
    well, rightly: an end token would stand behind questions too, and `pack` puts it behind answers.
    """
    if _settings(folder, advice).get("add_bos_token") is not True or tokenizer.bos_token_id is None:
        return False
    return bool(tokenizer.backend_tokenizer.encode("A").ids[:1] != [tokenizer.bos_token_id])


def _settings(folder: Path, advice: str) -> dict[str, Any]:
    path = folder / _SETTINGS_FILE
    return read_json(path, advice) if path.is_file() else {}


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """List the texts that a `transformers` tokenizer reads as control tokens wherever they stand, sorted."""
    marked = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted(marked.union(tokenizer.all_special_tokens)))


def check_tokenizer_files(folder: Path, advice: str) -> None:
    """Read a tokenizer's JSON files before any library does, for messages that name the file.

    Raises:
        DataError: If there is no tokenizer.json, a file holds no JSON object, the rules lengthen texts too much, or
            another file would be loaded in tokenizer.json's place.
    """
    content = read_json(folder / TOKENIZER_FILE, advice)
    if not isinstance(content.get("model"), dict):
        raise DataError(f"{folder / TOKENIZER_FILE} is not a tokenizer: it has no 'model'; {advice}")
    check_growth(folder / TOKENIZER_FILE, content, advice)
    for path in (folder / name for name in TOKENIZER_FILES if name.endswith(".json")):
        if path.is_file() and (others := read_json(path, advice).get(_OTHER_FILES)):
            raise DataError(
                f"{path} says {_OTHER_FILES}: {brief(others)}, which would be loaded in place of {TOKENIZER_FILE}; "
                f"remove that entry if {TOKENIZER_FILE} is right"
            )


def check_num_tokens(num_tokens: int, text: str, folder: object) -> None:
    """Make sure that a tokenizer made no more tokens of a text than any sane one does.

    Raises:
        DataError: If it made more than `MOST_TOKENS_PER_BYTE` of each byte, and some around the text.
    """
    num_bytes = len(text.encode(errors="surrogatepass"))
    if num_tokens > MOST_TOKENS_PER_BYTE * num_bytes + _TOKENS_AROUND_A_TEXT:
        raise DataError(
            f"the tokenizer in {folder} makes {num_tokens:,} tokens of {num_bytes:,} bytes of text, expected at most "
            f"{MOST_TOKENS_PER_BYTE} of each; use another base model"
        )


def check_speed(tokenizer: Any, folder: object) -> None:
    """Make sure that a tokenizer is done with short texts at once; published ones take a hundredth of the time allowed.

    The regular expressions in it are a stranger's. The library ends a match after ten million steps, a tenth of a
    second, but then tries at the next character, and Ctrl-C has to wait. So the first texts are very short.

    Args:
        tokenizer: A `tokenizers.Tokenizer`; loses the padding that its file may ask for.
        folder: Where it was read from, for the message.

    Raises:
        DataError: If it takes too long.
    """
    tokenizer.no_padding()
    for num_characters in (16, 128, len(_PROSE)):
        started = time.thread_time()
        tokenizer.encode(_PROSE[:num_characters])
        seconds = time.thread_time() - started
        if seconds > _MOST_SECONDS:
            raise DataError(
                f"the tokenizer in {folder} takes {seconds:.2f} s for {num_characters:,} characters of text, expected "
                f"less than {_MOST_SECONDS} s: its regular expressions try too much; use another model"
            )


_MOST_SECONDS = 0.25
_PROBES = (
    *(
        "In 2024, 1,250.75 mg of 12345678 mg",
        "12",
        "  two   spaces\tand a tab ",
        "line\nends\n\n\nhere\r\n",
        " fever",
        "fever",
    ),
    *(
        "naïve Ünusual e\u0301 café ﬁ ½",
        "👍🏽 👩‍⚕️",
        "发热和咳嗽",
        "It's WE'LL don't",
        "a_b-c/d(e)[f]{g}<h>",
        "<|assistant|>: A.",
    ),
)
"""Digits, spaces, line ends, accents, emoji, Chinese, signs: where the rules of tokenizers differ."""

NUM_PROBES = len(_PROBES)

_PROSE = f"{'a' * 16} A man of 61 with fever and cough (38.5 °C) asks:\n\n" * 8 + f"{' ' * 100}{'1' * 100}{'-' * 100}"
_SAMPLE = " ".join(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x180), 0x3042, 0x4E2D, 0xFDFA, 0x1F44D]))
