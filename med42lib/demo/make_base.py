"""Make the demo's base model: `python -m med42lib.demo.make_base [folder]`; about six minutes of processor time.

A tiny Llama that starts from random weights and learns to answer questions about world A, plain ones and stories
alike, by the project's own `pack` and `train`. That is all it ever sees: it can do what a medical model must (find
the disease in a story, and say what belongs to it), and knows nothing of world B, which is left to fine-tuning.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from med42lib.core.log import set_up_logging
from med42lib.demo.make_data import worlds
from med42lib.demo.tokenizer import MAX_LENGTH, train_tokenizer
from med42lib.demo.wording import PLAIN, plain, vignettes
from med42lib.demo.world import (
    DISEASE_ENDINGS,
    DRUG_ENDINGS,
    MICROBE_ENDINGS,
    World,
    random_stems,
)
from med42lib.engine.context import StageContext
from med42lib.formats.dataset import write_examples
from med42lib.formats.prompt import DEFAULT_SYSTEM, render
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.pack.config import PackConfig
from med42lib.store.artifacts import Source, Target
from med42lib.train.config import TrainConfig

MODEL_FOLDER = Path(__file__).parent / "model"
SEED = 42
NUM_STORIES = 7
NUM_RANDOM_NAMES = 4000

PACKING = PackConfig(policy="best_fit", chunk_length=128, too_long="drop", seed=SEED)
TRAINING = TrainConfig(
    method="full",
    learning_rate=2e-3,
    warmup_steps=50,
    epochs=6,
    global_batch_size=20,
    micro_batch_size=10,
    zero_stage=1,
    seed=SEED,
)


def base_examples(world: World) -> Iterator[Example]:
    """Ask for every fact in all plain wordings and in `NUM_STORIES` stories."""
    random = Random(f"base {SEED}")
    for number, fact in enumerate(world.facts, start=1):
        wordings = [plain(fact, wording) for wording in range(len(PLAIN[fact.relation]))]
        for question in wordings + vignettes(fact, NUM_STORIES, random):
            exchange = Exchange(question, fact.value)
            origin = Origin("", "world A", number)
            yield Example("world_a", "CC0-1.0", DEFAULT_SYSTEM, (exchange,), question, origin)


def tokenizer_texts(world: World) -> Iterator[str]:
    """Give the tokenizer the base's texts, and random names, so that it learns syllables and not world A's names."""
    random = Random(f"tokenizer {SEED}")
    for example in base_examples(world):
        yield render(example.system, example.exchanges).text
    endings = DISEASE_ENDINGS + DRUG_ENDINGS + MICROBE_ENDINGS
    for stem in islice(random_stems(random), NUM_RANDOM_NAMES):
        yield from (f" {stem}{ending}" for ending in random.sample(endings, 3))


def write_untrained(folder: Path, world: World) -> None:
    """Write the tokenizer and a Llama of random weights as a Hugging Face folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train_tokenizer(tokenizer_texts(world))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def write_base(trained: Path, folder: Path) -> None:
    """Write the trained model at half the bytes: float16 changes what it knows by nothing that a score would show."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.rmtree(folder, ignore_errors=True)
    AutoModelForCausalLM.from_pretrained(trained, trust_remote_code=False).half().save_pretrained(folder)
    AutoTokenizer.from_pretrained(trained, trust_remote_code=False).save_pretrained(folder)


def make_base(folder: Path) -> None:
    """Make the base model from its seed and write it to `folder`, replacing what is there."""
    from med42lib.pack.stage import pack
    from med42lib.train.stage import train

    world = worlds()["A"]
    with tempfile.TemporaryDirectory(prefix="make-base-") as scratch:
        work = {name: Path(scratch) / name for name in ("dataset", "untrained", "packed", "trained")}
        for path in work.values():
            path.mkdir()
        write_examples(work["dataset"], base_examples(world))
        write_untrained(work["untrained"] / "model", world)
        untrained = Source(str(work["untrained"]))
        pack(PACKING, dataset=Source(str(work["dataset"])), model=untrained, packed=Target(work["packed"]))
        packed = Source(str(work["packed"]))
        context = StageContext.in_folder(Path(scratch), "train")
        train(TRAINING, packed=packed, model=untrained, trained=Target(work["trained"]), context=context)
        write_base(Path(context.upload.address) / "trained" / "model", folder)


if __name__ == "__main__":
    set_up_logging()
    make_base(Path(sys.argv[1]) if len(sys.argv) > 1 else MODEL_FOLDER)
