"""Settings of fetch_model."""

from __future__ import annotations

from typing import Literal

from med42lib.core.config import StageConfig


class FetchModelConfig(StageConfig):
    """How the base weights are stored where they come from."""

    format: Literal["huggingface", "gguf"]
    """What lies at the address of the weights.

    `huggingface`: config.json, *.safetensors and tokenizer.json, copied as they are. `gguf`: one .gguf file
    (llama.cpp's format, mostly quantised), turned into the former; one that scales its rotary positions, as those of
    Llama 3.1 to 3.3 do, is refused, because transformers would leave that out.
    """

    gguf_file: str | None = None
    """Which .gguf file to take where the address holds several, by its name there: `model.Q8_0.gguf`."""

    gguf_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format in which the weights of a GGUF file are stored; `huggingface` weights keep their own.

    float32 holds every de-quantised value exactly; bfloat16 halves the size and rounds to 8 bits of precision.
    """

    licence: str | None = None
    """Licence of the base model, for the model card and `register.gate.allowed_licences`; null takes the one that its
    own card (README.md) or GGUF file states."""
