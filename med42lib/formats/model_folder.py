"""The folder layout that `mlflow.transformers.load_model` opens, written without mlflow.

    MLmodel                 the description, this module's business, and beside it what to install:
                            requirements.txt, python_env.yaml, conda.yaml
    model/                  a whole Hugging Face folder: the base model, or the fine-tuned one
    components/tokenizer/   the tokenizer's files once more, where mlflow looks for them
    peft/                   the adapter, for a LoRA fine-tune only

mlflow's own `save_model` would load and copy the weights, and fails with transformers 5.23. Written by hand and
registered by its address, the folder is the only copy. Keys: `mlflow.transformers.flavor_config.FlavorKey` of
mlflow 3.17.
"""

from __future__ import annotations

import json
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.model_config import CONFIG_FILE, read_config

MLMODEL_FILE = "MLmodel"
MODEL_FOLDER = "model"
ADAPTER_FOLDER = "peft"
ADAPTER_CONFIG_FILE = "adapter_config.json"
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
"""With any other name, peft would look for pickles."""

ADAPTER_BASE = "base_model"
"""Entry of those weights' metadata that says which model they are for: `sha256:` and the digest of its output."""

TOKENIZER_FOLDER = "components/tokenizer"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_FILES = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""All that a tokenizer may consist of; a model has some of these files."""
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""How a multimodal model's images and texts are made ready. vLLM loads none without them."""
GENERATION_FILE = "generation_config.json"
_TERMS = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
_TERMS_SUFFIXES = ("", ".txt", ".md", ".pdf")
_NAMED_IN_CONFIG = ("bos_token_id", "eos_token_id", "pad_token_id")
_ADVICE = "fetch the base model again"


_TEXT = json.dumps([{"type": "string", "required": True}])
_SETTINGS = {"max_new_tokens": (256, "long"), "do_sample": (False, "boolean"), "temperature": (1.0, "double")}
_SERVED = {
    "inputs": _TEXT,
    "outputs": _TEXT,
    "params": json.dumps([{"name": n, "default": d, "shape": None, "type": t} for n, (d, t) in _SETTINGS.items()]),
}
"""What the served model takes: prompts, and settings of generation. mlflow passes over any that is not declared."""


_REQUIREMENTS_FILE, _PYTHON_FILE, _CONDA_FILE = "requirements.txt", "python_env.yaml", "conda.yaml"
_REQUIREMENTS = ("accelerate~=1.2", "mlflow~=3.9", "torch~=2.8", "transformers~=5.21")
_ADAPTER_REQUIREMENTS = ("peft~=0.21",)
"""What loads the model: from the suite's own lowest versions up to the next major one.

Not the versions that are installed, since not every image has them, and the same model is to be the same bytes."""


def write_mlmodel(folder: Path, *, adapter: bool) -> None:
    """Describe the model in `folder` for mlflow; the same folder gives the same description.

    Args:
        folder: Holds `model/`, `components/tokenizer/` and, with `adapter`, `peft/`.
        adapter: True means `peft/` is put on top of `model/` when it is loaded.

    Raises:
        DataError: If the model's config.json cannot be read or names no architecture.
    """
    flavor: dict[str, object] = {
        "task": "text-generation",
        "instance_type": "TextGenerationPipeline",
        "framework": "pt",
        "pipeline_model_type": _architecture(folder / MODEL_FOLDER),
        "source_model_name": MODEL_FOLDER,
        "model_binary": MODEL_FOLDER,
        "components": ["tokenizer"],
        "tokenizer_type": "AutoTokenizer",
    }
    if adapter:
        flavor["peft_adaptor"] = ADAPTER_FOLDER
    # What `mlflow models serve` and `mlflow.pyfunc` load it with.
    python = ".".join(map(str, sys.version_info[:2]))
    environment = {"conda": _CONDA_FILE, "virtualenv": _PYTHON_FILE}
    served = {"loader_module": "mlflow.transformers", "python_version": python, "env": environment}
    described: dict[str, object] = {"flavors": {"python_function": served, "transformers": flavor}}
    described["signature"] = _SERVED
    text = yaml.safe_dump(described, sort_keys=True)
    (folder / MLMODEL_FILE).write_text(text, encoding="utf-8")
    _write_environment(folder, python, (*_REQUIREMENTS, *(_ADAPTER_REQUIREMENTS if adapter else ())))


def _write_environment(folder: Path, python: str, requirements: tuple[str, ...]) -> None:
    """Say what to install before the model is loaded, in the three forms that mlflow reads."""
    (folder / _REQUIREMENTS_FILE).write_text("\n".join(requirements) + "\n", encoding="utf-8")
    for_pip = {"python": python, "build_dependencies": ["pip"], "dependencies": [f"-r {_REQUIREMENTS_FILE}"]}
    packages = [f"python={python}", "pip", {"pip": list(requirements)}]
    for_conda = {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": packages}
    for name, environment in ((_PYTHON_FILE, for_pip), (_CONDA_FILE, for_conda)):
        (folder / name).write_text(yaml.safe_dump(environment, sort_keys=False), encoding="utf-8")


def copy_tokenizer(model: Path, folder: Path) -> None:
    """Copy a model's tokenizer files, byte for byte, into `folder`.

    Raises:
        DataError: If the model's folder holds none.
    """
    found = [name for name in TOKENIZER_FILES if (model / name).is_file()]
    if not found:
        raise DataError(f"{model} holds no tokenizer: none of {', '.join(TOKENIZER_FILES)}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in found:
        shutil.copyfile(model / name, folder / name)


def is_terms_text(name: str) -> bool:
    """Tell a text of terms, such as a licence, from what only bears such a name: `LICENSE.py` could be run."""
    path = PurePosixPath(name)
    known = any(fnmatch(name, pattern) for pattern in _TERMS)
    return known and path.name == name and path.suffix in _TERMS_SUFFIXES


def copy_terms(base: Path, folder: Path) -> None:
    """Copy the base's licence, notices and policy of use: many licences ask that they go with what is made of it."""
    for path in sorted(base.iterdir()):
        if path.is_file() and is_terms_text(path.name):
            shutil.copyfile(path, folder / path.name)


def copy_processor(base: Path, folder: Path) -> None:
    """Copy the settings of a multimodal base's processor, if it has any."""
    for name in PROCESSOR_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def write_generation_settings(base: Path, folder: Path, *, end_token_id: int) -> None:
    """Write the base's settings of generation, with the end token of training among those that end it.

    A base that has none is generated from with the tokens that its config.json names, and so is what was trained.

    Args:
        base: The base model's folder.
        folder: Receives generation_config.json.
        end_token_id: What the model has learned to end an answer with.

    Raises:
        DataError: If the base's settings cannot be read.
    """
    if (base / GENERATION_FILE).is_file():
        settings = read_json(base / GENERATION_FILE, _ADVICE)
    else:
        stated = read_json(base / CONFIG_FILE, _ADVICE)
        settings = {name: stated[name] for name in _NAMED_IN_CONFIG if stated.get(name) is not None}
    ends = dict.fromkeys([end_token_id, *_as_list(settings.get("eos_token_id"))])
    settings["eos_token_id"] = end_token_id if len(ends) == 1 else list(ends)
    (folder / GENERATION_FILE).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def put_trained_settings(adapter: Path, model: Path) -> None:
    """Give a copy of the base the tokenizer and the settings of generation that lie beside an adapter.

    Files are replaced and not written to, since they may be links to the base's.
    """
    has_tokenizer = (adapter / TOKENIZER_FILE).is_file()
    for name in (*TOKENIZER_FILES, GENERATION_FILE):
        if (adapter / name).is_file() or (has_tokenizer and name in TOKENIZER_FILES):
            (model / name).unlink(missing_ok=True)
        if (adapter / name).is_file():
            shutil.copyfile(adapter / name, model / name)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _architecture(model: Path) -> str:
    config = read_config(model, _ADVICE)
    if config.architecture is None:
        raise DataError(f"{config.path} names no model architecture; {_ADVICE}")
    return config.architecture
