"""Two tiny tokenizers, a tiny random Llama with each, an adapter, and a handful of questions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.loading import load_model
from med42lib.evaluate.locate import locate_model
from med42lib.formats.records import BenchmarkItem, Origin, write_items
from med42lib.store.artifacts import Source
from tests.tiny_llama import make_llama
from tests.tiny_tokenizer import BEGIN, SPECIAL_TOKENS, byte_level

MAX_TOKENS = 256
TEXTS = [
    "<|system|>: You are a helpful medical assistant.",
    "<|prompter|>: Which vitamin prevents scurvy?\nA. Retinol\nB. Folate\nC. Ascorbic acid\nD. Thiamine",
    "<|assistant|>: A <|assistant|>: B <|assistant|>: C <|assistant|>: D",
    "Abstract: Aspirin lowers fever. Question: Does aspirin lower fever? Answer: yes no maybe",
]
BEGIN_AND_END = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
)


def sentence_piece() -> Tokenizer:
    """Like Llama-2's: a mark is put before the text and for each space, and a text begins with `<s>`."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), behavior="merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL_TOKENS, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = BEGIN
    return tokenizer


def closing() -> Tokenizer:
    """Like a Llama tokenizer with add_eos_token: a text begins with `<s>` and ends with `</s>`."""
    tokenizer = byte_level(TEXTS)
    tokenizer.post_processor = BEGIN_AND_END
    return tokenizer


TOKENIZERS = {"byte_level": partial(byte_level, TEXTS), "sentence_piece": sentence_piece, "closing": closing}


def save_base(tokenizer: Tokenizer, folder: Path) -> Path:
    import torch

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    fast.save_pretrained(folder / "model")
    torch.manual_seed(0)
    llama = make_llama(
        vocab_size=len(fast),
        num_key_value_heads=2,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    llama.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Outputs of fetch_model, by kind of tokenizer."""
    return {name: save_base(make(), tmp_path_factory.mktemp(name)) for name, make in TOKENIZERS.items()}


@pytest.fixture(scope="session", params=list(TOKENIZERS))
def base_of_each_kind(request: pytest.FixtureRequest, bases: dict[str, Path]) -> Path:
    return bases[request.param]


@pytest.fixture(scope="session")
def base(bases: dict[str, Path]) -> Path:
    return bases["byte_level"]


@pytest.fixture(scope="session")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of train by LoRA: a random adapter whose base lies at an address that is not here."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("adapter")
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base / "model"), settings)
    model.peft_config["default"].base_model_name_or_path = "/machine/that/trained/it"
    model.save_pretrained(folder / "peft", save_embedding_layers=False)
    return folder


@pytest.fixture(scope="session")
def load() -> Callable[..., tuple[Any, Any]]:
    """Load model and tokenizer from stage outputs, as the stage does."""

    def run(model: Path, base: Path | None = None) -> tuple[Any, Any]:
        return load_model(locate_model(Source(str(model)), Source(str(base or model))), "float32")

    return run


def item(benchmark: str, number: int, question: str, options: tuple[str, ...], gold: int = 0, context: str = "") -> Any:
    origin = Origin(str(number), f"{benchmark}.jsonl", number)
    return BenchmarkItem(f"{benchmark}/{number}", benchmark, question, context, options, gold, origin)


@pytest.fixture(scope="session")
def make_item() -> Callable[..., BenchmarkItem]:
    """An item from benchmark, number, question, options, and perhaps gold and context."""
    return item


@pytest.fixture(scope="session")
def items() -> list[BenchmarkItem]:
    """Two benchmarks, interleaved: questions of 3 and of 4 options, a repeated option, a repeated question."""
    return [
        item("pubmedqa", 1, "Does aspirin lower fever?", ("yes", "no", "maybe"), 0, "Aspirin lowers fever."),
        item("medqa", 1, "Which vitamin prevents scurvy?", ("Retinol", "Folate", "Ascorbic acid", "Thiamine"), 2),
        item("pubmedqa", 2, "Does vitamin C cure fever?", ("yes", "no", "maybe"), 1, "Fever.\nβ-carotene: 37.5 °C."),
        item("medqa", 2, "Which vitamin prevents scurvy?", ("Folate", "Folate", "Thiamine"), 2),
        item("medqa", 3, "Name it.", ("Vitamin K₁", "A", "Cholecalciferol, a steroid", "α-Tocopherol"), 1),
    ]


@pytest.fixture
def items_folder(items: list[BenchmarkItem], tmp_path: Path) -> Path:
    folder = tmp_path / "items"
    folder.mkdir()
    write_items(folder, items)
    return folder


@pytest.fixture(scope="session")
def settings() -> Callable[..., EvaluateConfig]:
    """Settings with letters unless told otherwise."""
    return lambda **values: EvaluateConfig.model_validate({"scoring": "letters", "batch_size": 3, **values})
