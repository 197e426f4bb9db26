import re
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

BENCH = Path(__file__).with_name("bench_packing.py")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tokenizer of single bytes."""
    alphabet = {"</s>": 0, **{c: n for n, c in enumerate(pre_tokenizers.ByteLevel.alphabet(), start=1)}}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.slow
def test_the_bench_compares_equal_samples_and_prints_a_ratio(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="the bench needs trl")
    small = ["--rows", "50", "--repeats", "1", "--chunk-length", "2048", "--data", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, str(BENCH), *small, "--tokenizer", str(model)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("50 made-up samples")
    assert re.search(r"^ratio: \d+\.\d times as fast as TRL", run.stdout, re.MULTILINE)
