import shutil
from pathlib import Path

import pytest

from tests.tiny_llama import make_llama


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 12,384 parameters with a fast tokenizer of 64 tokens, as `save_pretrained` writes them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-llama")
    words = ["<unk>", "<eos>", "fever", "cough", "aspirin", *(f"word{n}" for n in range(59))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>").save_pretrained(folder)
    llama = make_llama(vocab_size=64, num_hidden_layers=1, num_attention_heads=2, tie_word_embeddings=True)
    llama.save_pretrained(folder)
    return folder


@pytest.fixture
def weights(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of the tiny Llama that a test may break."""
    return Path(shutil.copytree(tiny_llama, tmp_path / "weights"))
