"""Model cards in the format of the Hugging Face hub, and what one says of a model's licence. Reads no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CARD_FILE = "README.md"
LICENCE_FILE = "licence.json"
"""A base's licence, as its publisher states it or the settings do; beside the base, as a note."""

_OTHER = "other"


def write_card(metadata: Mapping[str, Any], text: str, *, results: list[dict[str, Any]]) -> str:
    """Write a card: metadata that the hub's own library checks, and below it the text.

    Args:
        metadata: Fields of `huggingface_hub.ModelCardData`; `model_name` among them.
        text: In Markdown.
        results: Fields of `huggingface_hub.EvalResult`, of each figure.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data = ModelCardData(**metadata, eval_results=[EvalResult(**result) for result in results] or None)
    return f"---\n{data.to_yaml()}\n---\n\n{text}\n"


def licence_in_card(card: str) -> str:
    """Give the licence that a card's metadata state, empty if none; of "other", the name beside it.

    Raises:
        ValueError: If the metadata cannot be read.
    """
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        data = ModelCard(card, ignore_metadata_errors=True).data
    except (YAMLError, TypeError) as error:
        raise ValueError(f"its metadata are no YAML mapping: {str(error).splitlines()[0]}") from error
    stated = data.get("license", "")
    named = data.get("license_name", stated) if stated == _OTHER else stated
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named)
