"""Two tiny tokenizers of the kinds that matter, and examples to pack."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from med42lib.formats.dataset import write_examples
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.pack.config import PackConfig
from med42lib.pack.stage import pack
from med42lib.store.artifacts import Source, Target
from tests.tiny_tokenizer import BEGIN, SPECIAL_TOKENS, byte_level

TEXTS = [
    "<|system|>: You are a helpful medical assistant.",
    "<|prompter|>: What are the symptoms of asthma?",
    "<|assistant|>: Wheezing, shortness of breath and a tight chest.",
    "<|prompter|>: Which vitamin prevents scurvy? <|assistant|>: Vitamin C prevents scurvy.",
]


def sentence_piece() -> Tokenizer:
    """Like Llama-2's: a mark is put before the text and for each space, bytes stand in for unknown characters."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), behavior="merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL_TOKENS + bytes_, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    # The trainer makes every byte a special token, and decoding would then leave them out
    plain = Tokenizer(tokenizer.model)
    plain.normalizer, plain.decoder = tokenizer.normalizer, tokenizer.decoder
    return plain


KINDS = {"byte_level": partial(byte_level, TEXTS), "sentence_piece": sentence_piece}


@pytest.fixture(scope="session", params=list(KINDS))
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of fetch_model, as far as pack needs it; one for each kind of tokenizer."""
    return save_model(KINDS[request.param](), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def byte_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(byte_level(TEXTS), tmp_path_factory.mktemp("model"))


def save_model(tokenizer: Tokenizer, folder: Path) -> Path:
    tokenizer.post_processor = BEGIN
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", padding_side="right"
    )
    fast.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="session")
def load() -> Callable[[Path], PreTrainedTokenizerFast]:
    """The tokenizer as every other program would load it."""
    return lambda folder: AutoTokenizer.from_pretrained(folder / "model")


def example(number: int, *exchanges: tuple[str, str], system: str = "Be brief.") -> Example:
    spoken = tuple(Exchange(*exchange) for exchange in exchanges)
    question = exchanges[0][0] if exchanges else ""
    return Example("made", "CC0-1.0", system, spoken, question, Origin(str(number), "made.jsonl", number))


@pytest.fixture(scope="session")
def make_example() -> Callable[..., Example]:
    """An example from its number and (prompter, assistant) pairs."""
    return example


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """Twenty conversations of 25 to 120 tokens, two of them with two exchanges."""
    words = ["asthma", "scurvy", "anaemia", "influenza", "wheezing", "vitamin", "breath", "chest", "cough", "fever"]
    made = [
        example(n, (f"What about {words[n % 10]} {n}?", " ".join([words[-n % 10], *words[: n % 7], "is the answer."])))
        for n in range(18)
    ]
    return [
        *made,
        example(18, ("What is asthma?", "A disease."), ("Of what?", "Of the lungs.")),
        example(19, ("Grüß Gott, ¿qué tal? 你好", "Très bien 👍🏽, danke."), ("And 37.5 °C?", "Normal."), system=""),
    ]


@pytest.fixture
def run_pack(tmp_path: Path, model_folder: Path) -> Callable[..., Path]:
    """Run the stage on examples; returns the packed folder."""
    return lambda examples, **settings: pack_into(tmp_path, model_folder, examples, **settings)


@pytest.fixture
def run_pack_bytes(tmp_path: Path, byte_model_folder: Path) -> Callable[..., Path]:
    """The same with the byte-level tokenizer only."""
    return lambda examples, **settings: pack_into(tmp_path, byte_model_folder, examples, **settings)


@pytest.fixture
def pack_with(tmp_path: Path) -> Callable[..., Path]:
    """The same with the model in a folder."""
    return lambda model_folder, examples, **settings: pack_into(tmp_path, model_folder, examples, **settings)


def pack_into(folder: Path, model_folder: Path, examples: list[Example], **settings: object) -> Path:
    number = len(list(folder.iterdir()))
    dataset, packed = folder / f"dataset{number}", folder / f"packed{number}"
    dataset.mkdir()
    packed.mkdir()
    write_examples(dataset, examples)
    config = PackConfig.model_validate({"seed": 7, **settings})
    pack(config, dataset=Source(str(dataset)), model=Source(str(model_folder)), packed=Target(packed))
    return packed
