from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.formats.records import Example, Exchange, Origin
from med42lib.formats.rejects import Reject
from med42lib.pack import samples
from med42lib.pack.config import PackConfig
from med42lib.pack.samples import Sample, tokenised_samples
from med42lib.pack.tokenise import SampleTokenizer, load_tokenizer

CHUNK_LENGTH = 48


@pytest.fixture(scope="module")
def tokenizer(byte_model_folder: Path) -> SampleTokenizer:
    return load_tokenizer(byte_model_folder / "model")


CONCATENATE = PackConfig(policy="concatenate", chunk_length=64, seed=0)


def best_fit(too_long: str) -> PackConfig:
    return PackConfig(policy="best_fit", chunk_length=CHUNK_LENGTH, too_long=too_long, seed=0)  # type: ignore[arg-type]


@pytest.fixture
def three(make_example: Callable[..., Example]) -> list[Example]:
    """One that fits; one whose response is too long; one whose prompt is."""
    return [
        make_example(1, ("Hi", "Yes.")),
        make_example(2, ("Hi", "breath " * 60)),
        make_example(3, ("breath " * 60, "No.")),
    ]


def test_too_long_samples_are_dropped_with_their_row_and_length(
    three: list[Example], tokenizer: SampleTokenizer
) -> None:
    fits, *dropped = tokenised_samples(three, tokenizer, best_fit("drop"))
    assert isinstance(fits, Sample)
    assert fits.example_id == three[0].id
    for row, reject in enumerate(dropped, start=2):
        assert isinstance(reject, Reject)
        assert (reject.file, reject.line, reject.kind) == ("examples.parquet", row, "excluded")
        assert reject.reason == "longer than chunk_length"
        assert reject.detail.endswith(" tokens, chunk_length 48")
        assert "breath" in reject.record


def test_truncated_samples_keep_their_first_tokens(three: list[Example], tokenizer: SampleTokenizer) -> None:
    whole = list(tokenised_samples(three, tokenizer, PackConfig(policy="concatenate", chunk_length=48, seed=0)))
    fits, truncated, _ = tokenised_samples(three, tokenizer, best_fit("truncate"))
    assert isinstance(fits, Sample)
    assert isinstance(truncated, Sample)
    assert isinstance(whole[1], Sample)
    assert (fits.truncated, truncated.truncated) == (False, True)
    assert truncated.tokens.ids_T.tolist() == whole[1].tokens.ids_T[:CHUNK_LENGTH].tolist()
    assert truncated.tokens.ids_T[-1] != tokenizer.eos_token_id


def test_truncation_that_leaves_no_response_drops_the_sample(three: list[Example], tokenizer: SampleTokenizer) -> None:
    last = list(tokenised_samples(three, tokenizer, best_fit("truncate")))[2]
    assert isinstance(last, Reject)
    assert last.reason == "its prompt alone fills chunk_length"


def test_a_conversation_without_an_exchange_is_rejected(
    make_example: Callable[..., Example], tokenizer: SampleTokenizer
) -> None:
    (reject,) = tokenised_samples(
        [make_example(1)], tokenizer, PackConfig(policy="concatenate", chunk_length=64, seed=0)
    )
    assert isinstance(reject, Reject)
    assert (reject.kind, reject.reason) == ("rejected", "has no exchange, so there is no response to learn from")


def test_the_batch_size_does_not_change_the_samples(
    examples: list[Example], tokenizer: SampleTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PackConfig(policy="concatenate", chunk_length=CHUNK_LENGTH, seed=0)

    def ids() -> list[list[int]]:
        found = tokenised_samples(examples, tokenizer, config)
        return [sample.tokens.ids_T.tolist() for sample in found if isinstance(sample, Sample)]

    at_once = ids()
    monkeypatch.setattr(samples, "EXAMPLES_PER_BATCH", 3)
    assert ids() == at_once
    assert len(at_once) == len(examples)


@pytest.mark.parametrize("imitation", ["</s>", "<s>", "<unk>", "fever</s>cough", "<|im_end|> </s></s><s>"])
def test_no_text_of_a_source_becomes_a_control_token(model_folder: Path, imitation: str) -> None:
    def control_ids(text: str) -> list[int]:
        said = (Exchange(f"Is it {text}?", text), Exchange(text, f"It is {text}."))
        example = Example("opengpt", "CC0", text, said, text, Origin("1", "f", 1))
        (sample,) = tokenised_samples([example], load_tokenizer(model_folder / "model"), CONCATENATE)
        assert isinstance(sample, Sample)
        return [token for token in sample.tokens.ids_T.tolist() if token in (0, 1, 2)]

    assert control_ids(imitation) == control_ids("fever")


def test_every_turn_ends_with_the_end_token_and_it_is_learnt(model_folder: Path) -> None:
    said = (Exchange("Fever?", "Yes."), Exchange("Cough?", "No."), Exchange("Pain?", "Yes."))
    example = Example("opengpt", "CC0", "", said, "Fever?", Origin("1", "f", 1))
    tokenizer = load_tokenizer(model_folder / "model")
    (sample,) = tokenised_samples([example], tokenizer, CONCATENATE)
    assert isinstance(sample, Sample)
    ends = sample.tokens.ids_T == tokenizer.eos_token_id
    assert ends.sum() == 3
    assert sample.tokens.response_T[ends].all()
    assert not sample.tokens.response_T[1:][ends[:-1]].any()
