"""What the fork server of `warm.py` imports, once and offline, for all stages that it starts."""

import os

from med42lib.core.environment import OFFLINE
from med42lib.train.worker.deepspeed_engine import import_deepspeed

# Read when huggingface_hub is imported. The stages that start warm read what fetch_model brought, and never the hub.
os.environ.update(OFFLINE)

import lm_eval.evaluator  # noqa: F401
import peft  # noqa: F401
import sentence_transformers  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401

import_deepspeed("cpu")
