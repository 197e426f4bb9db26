"""Which architectures can be trained, and how: tried with the product's own checks, written as a table.

    python tests/bench/architectures.py                     # the whole of it, to med42lib/train/ARCHITECTURES.md
    python tests/bench/architectures.py llama mixtral       # rows of these, to the screen

A tiny random model of each architecture of transformers' AutoModelForCausalLM is saved, loaded as `train` loads a base,
and asked what `train` asks before it trains. A model that cannot be made tiny, or not be made here, is not tried.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402
from transformers.models.auto.modeling_auto import (  # noqa: E402
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from med42lib.core.errors import Med42Error  # noqa: E402
from med42lib.formats.stored_weights import StoredNames, empty_model  # noqa: E402
from med42lib.train.adapter import kinds_of, without_adapter  # noqa: E402
from med42lib.train.architectures import ACROSS  # noqa: E402
from med42lib.train.config import LoraConfig, ResolvedConfig  # noqa: E402
from med42lib.train.isolation import check_causality, check_isolation  # noqa: E402
from med42lib.train.model import load_model  # noqa: E402

TABLE = REPOSITORY / "med42lib/train/ARCHITECTURES.md"
VERSION = f"transformers {transformers.__version__}"
NUM_TOKENS = 64
MOST_PARAMETERS = 150_000_000
STEP = {"learning_rate": 1e-3, "warmup_steps": 0, "epochs": 1, "global_batch_size": 1, "seed": 0}
HERE = {"zero_stage": 1, "gradient_checkpointing": False, "micro_batch_size": 1}
FULL = ResolvedConfig.model_validate({"method": "full", **STEP, **HERE})
WIDTHS = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner"), 48),
    **dict.fromkeys(("num_attention_heads", "n_head", "encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "encoder_layers", "decoder_layers", "num_layers"), 2),
    **{"num_key_value_heads": 2, "head_dim": 8, "v_head_dim": 8, "rotary_dim": 4, "vocab_size": NUM_TOKENS},
    **{"max_position_embeddings": 64, "n_positions": 64, "max_seq_len": 64, "state_size": 4, "hidden_dropout": 0.0},
    **{"initializer_range": 0.2, "init_std": 0.2},
}
"""Weights are larger than usual: what hardly moves a random model's logits may move those of a trained one."""

EXPERTS = {
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "top_k_experts"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 16),
    **{"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 8},
    **{"qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "index_head_dim": 8, "index_n_heads": 2, "index_topk": 4},
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
NESTED = ("text_config", "decoder")
OF_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_expand": 2}
OF_LFM = {"layer_types": ["conv", "full_attention"]}
OWN: dict[str, dict[str, Any]] = {
    "bamba": OF_MAMBA | {"attn_layer_indices": [1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": OF_MAMBA | {"layer_types": ["mamba", "attention"]},
    "lfm2": OF_LFM,
    "lfm2_moe": OF_LFM,
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "zaya": {"num_experts_per_tok": 1},
}
"""Settings that an architecture must have, or without which it would have layers of one kind alone."""


@dataclass(frozen=True)
class Row:
    """What was found of an architecture, as the table says it."""

    model_type: str
    architecture: str
    full: str = ""
    lora: str = ""
    best_fit: str = ""
    known: str = "tried"

    def __str__(self) -> str:
        cells = (f"`{self.model_type}`", self.architecture, self.full, self.lora, self.best_fit, self.known)
        return f"| {' | '.join(cells)} |"


def look_at(model_type: str) -> Row:
    """Try all that `train` does to a base before its first step."""
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    architecture = name if isinstance(name, str) else name[0]
    if (whole := MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(model_type, architecture)) != architecture:
        refusal = f"refused: its checkpoints are of {whole}, of which this is a part"
        return Row(
            model_type, architecture, refusal, "refused", known="not tried: another class than its checkpoints have"
        )
    torch.manual_seed(0)
    try:
        model = tiny_model(model_type)
    except Exception as error:  # noqa: BLE001 (of transformers, with settings that nobody has tried)
        return Row(model_type, architecture, known=f"not tried: no tiny model ({first_line(error)})")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            model.save_pretrained(folder)
        except Exception as error:  # noqa: BLE001
            return Row(model_type, architecture, known=f"not tried: not saved ({first_line(error)})")
        return _tried(model_type, architecture, folder)


def _tried(model_type: str, architecture: str, folder: Path) -> Row:
    try:
        base = loaded(folder)
    except Exception as error:  # noqa: BLE001
        return Row(model_type, architecture, known=f"not tried: the tiny model does not work ({first_line(error)})")
    tokens: dict[str, Any] = {"num_tokens": NUM_TOKENS, "name": architecture, "device": base.device}
    _, refusal = outcome(lambda: check_causality(base, **tokens))
    if refusal:
        return Row(model_type, architecture, f"refused: {refusal}", "refused")
    _, names = outcome(lambda: StoredNames.of(folder).check())
    _, leak = outcome(lambda: check_isolation(base, **tokens))
    best_fit = ACROSS if leak else "samples apart"
    return Row(model_type, architecture, f"refused: {names}" if names else "yes", lora_of(folder), best_fit)


def loaded(folder: Path) -> Any:
    """Load a base as `train` does, and make a step's forward and backward pass."""
    model = load_model(folder, FULL)
    ids = torch.arange(16)[None]
    logits = model(input_ids=ids, position_ids=ids, use_cache=False).logits
    logits.float().logsumexp(-1).sum().backward()
    return model.eval()


def lora_of(folder: Path) -> str:
    """Say what an adapter can be put on."""
    adapted, refusal = outcome(lambda: load_model(folder, FULL.model_copy(update={"method": "lora"})))
    if adapted is not None:
        others = [name.rpartition(".")[2] for name in kinds_of(without_adapter(adapted))]
        return "every linear layer" + (f"; not `{'`, `'.join(sorted(set(others)))}`" if others else "")
    outside = {"method": "lora", "lora": LoraConfig(layers="outside_experts")}
    adapted, _ = outcome(lambda: load_model(folder, FULL.model_copy(update=outside)))
    return f"refused: {refusal}" if adapted is None else "`outside_experts` alone"


def outcome(call: Callable[[], Any]) -> tuple[Any, str]:
    """Call something; gives what it returned, and if it was refused, nothing and why."""
    try:
        with torch.no_grad():
            return call(), ""
    except Med42Error as error:
        return None, first_line(error)


def first_line(error: BaseException) -> str:
    """Give the beginning of a message, fit for a cell of a table and without this machine's folders."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    words = ["…" if tempfile.gettempdir() in word else word for word in lines[0].split()]
    text = " ".join(words).replace("|", "/")
    return text if len(text) <= 100 else f"{text[:100].rsplit(' ', 1)[0]} …"


def tiny_model(model_type: str) -> Any:
    """Make a random model of an architecture with as few parameters as its settings allow.

    Raises:
        ValueError: If it has more than `MOST_PARAMETERS` all the same.
    """
    config = tiny_config(CONFIG_MAPPING[model_type])
    num_parameters = sum(parameter.numel() for parameter in empty_model(config).parameters())
    if num_parameters > MOST_PARAMETERS:
        raise ValueError(f"{num_parameters:,} parameters with the smallest settings")
    return AutoModelForCausalLM.from_config(config).eval()


def tiny_config(kind: Any) -> Any:
    """Make settings of an architecture with tiny sizes, as far as it has settings of these names."""
    known = kind()
    wanted = {**WIDTHS, **EXPERTS, **TOKENS}
    if hasattr(known, "kv_lora_rank"):  # heads of multi-head latent attention have parts
        wanted |= {"head_dim": wanted["qk_rope_head_dim"], "num_key_value_heads": 4}
    sizes = {name: value for name, value in wanted.items() if name in vars(known)}
    if isinstance(types := getattr(known, "layer_types", None), list) and "layer_types" in vars(known):
        sizes["layer_types"] = two_of(types)
    for name in NESTED:
        if hasattr(inner := getattr(known, name, None), "to_dict"):
            sizes[name] = tiny_config(type(inner)).to_dict()
    return kind(**sizes | OWN.get(kind.model_type, {}))


def two_of(types: list[str]) -> list[str]:
    """Keep two layers, of different kinds where there are several."""
    return [types[0], next((kind for kind in types if kind != types[0]), types[0])]


def document(rows: list[Row]) -> Iterator[str]:
    """Write the table with what its columns mean."""
    yield from (
        "# Which bases can be trained",
        "Made by `tests/bench/architectures.py`: a tiny random model of each architecture that AutoModelForCausalLM of",
        f"{VERSION} knows went through the checks that `train` makes of a base before its first step. There",
        "they are made of the base itself, whatever stands here: one with other kinds of layers than its settings have",
        "by default may fare otherwise.",
        "",
        "- **full**: the base loads, computes with positions, looks at no later token, and what is saved has the names",
        "  and shapes of its own files.",
        "- **LoRA**: `train.*.lora.layers: all` puts an adapter on every linear layer, or `outside_experts` alone can",
        "  be had; behind `not`, matrices that are no linear layers and stay as they are. Of a multimodal base,",
        "  the text model's.",
        "- **best_fit**: samples of a chunk are kept apart by their positions; where they are read across,",
        "  `pack.policy` has to be `concatenate`.",
        "- **known**: tried here, or why not. What was not tried is not refused for that.",
        "",
        "A base is tried as the class in this table. Where its config.json names another, such as the whole of which",
        "this is the text model or the decoder, and it has tensors that this one lacks, `fetch_model` refuses it.",
        "",
        "| model_type | architecture | full | LoRA | best_fit | known |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    yield from map(str, rows)


def main() -> None:
    """Look at all architectures, or at those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_types", nargs="*")
    named = parser.parse_args().model_types
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    rows = []
    for model_type in named or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        rows.append(look_at(model_type))
        print(rows[-1], flush=True)
    if not named:
        TABLE.write_text("\n".join(document(rows)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
