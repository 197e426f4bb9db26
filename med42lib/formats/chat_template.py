"""The prompt format as a chat template, and a tokenizer that reads texts as it did in training, for who serves a model.

transformers, vLLM and MLflow write a conversation with the template that lies beside the tokenizer, TGI with the one in
its settings. All tokenise what was written without the marks that a tokenizer puts around a text. So the template is in
both places, and writes the beginning too. A conversation without a system message gets the system text that most
training data have; one whose system message is empty gets none, as training data that say so.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from med42lib.core.log import log
from med42lib.formats.prompt import DEFAULT_SYSTEM, KEYWORDS, as_text, reserved
from med42lib.formats.tokenizer_loading import control_tokens, copy_as_read, put_settings

CHAT_TEMPLATE_FILE = "chat_template.jinja"
_OTHER_TEMPLATE_FILE = "chat_template.json"
_ADVICE = "fetch the base model again"
_SYSTEM = re.compile(r"^\{%- set SYSTEM = (\".*\") -%\}$", re.MULTILINE)
_WITHOUT_SYSTEM_MESSAGE = """\
{%- if not messages or messages[0]['role'] != 'system' -%}
{{- '<|system|>: ' ~ SYSTEM ~ '\\n' -}}
{%- endif -%}
"""
_TEMPLATE = (
    """\
{%- macro as_text(content) -%}
{%- set said = namespace(text=content) -%}
{%- if content is not string -%}
{%- set said.text = '' -%}
{%- for part in content or [''] -%}
{%- if part['type'] != 'text' or part['text'] is not string -%}
{{- raise_exception('expected a text as content') -}}
{%- endif -%}
{%- set said.text = said.text ~ ('' if loop.first else '\\n') ~ part['text'] -%}
{%- endfor -%}
{%- endif -%}
{%- for token in RESERVED -%}
{%- set said.text = said.text | replace(token, token[:1] ~ ' ' ~ token[1:]) -%}
{%- endfor -%}
{{- said.text -}}
{%- endmacro -%}
{{- BEGIN -}}
"""
    + _WITHOUT_SYSTEM_MESSAGE
    + """\
{%- set turns = namespace(said=0) -%}
{%- for message in messages -%}
{%- if message['role'] == 'system' and loop.first -%}
{%- set system = as_text(message['content']) -%}
{%- if system -%}
{{- '<|system|>: ' ~ system ~ '\\n' -}}
{%- endif -%}
{%- elif message['role'] == ('assistant' if turns.said % 2 else 'user') -%}
{%- if turns.said % 2 -%}
{%- set answer = as_text(message['content']) -%}
{{- '\\n<|assistant|>:' ~ ('' if answer[:1] == ' ' else ' ') ~ answer ~ END -}}
{%- else -%}
{{- ('\\n' if turns.said else '') ~ '<|prompter|>: ' ~ as_text(message['content']) -}}
{%- endif -%}
{%- set turns.said = turns.said + 1 -%}
{%- else -%}
{{- raise_exception('expected a system message or none, then user and assistant in turn') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '\\n<|assistant|>:' -}}
{%- endif -%}
"""
)


def chat_template(tokenizer: Any, system: str = DEFAULT_SYSTEM) -> str:
    """Write the prompt format as a Jinja template: what `formats/prompt.py` renders, with beginning and end token.

    Args:
        tokenizer: The model's, a `PreTrainedTokenizerFast` with an end token.
        system: The system text of a conversation that brings none, as most training data have it; empty for none.
    """
    control = control_tokens(tokenizer)
    values = {
        "RESERVED": list(reserved(control)),
        "BEGIN": _begin(tokenizer),
        "END": tokenizer.eos_token,
        "SYSTEM": as_text(system, control),
    }
    lines = [f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n" for name, value in values.items()]
    return "".join([*lines, _TEMPLATE if system else _TEMPLATE.replace(_WITHOUT_SYSTEM_MESSAGE, "")])


def taught_system(folder: Path) -> str | None:
    """Read off a fine-tune's chat template which system text most of its training data had; None if it has no such.

    Args:
        folder: Of the model, or of the adapter.
    """
    path = folder / CHAT_TEMPLATE_FILE
    stated = _SYSTEM.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return None if stated is None else str(json.loads(stated[1]))


def save_tokenizer(base: Path, folder: Path, system: str = DEFAULT_SYSTEM) -> None:
    """Copy a base's tokenizer for a model trained on it: with our chat template, and read as `pack` read it.

    Raises:
        DataError: If the base has no usable tokenizer.
    """
    template = chat_template(copy_as_read(base, folder, _ADVICE), system)
    (folder / _OTHER_TEMPLATE_FILE).unlink(missing_ok=True)
    (folder / CHAT_TEMPLATE_FILE).write_text(template, encoding="utf-8")
    put_settings(folder, {"chat_template": template}, _ADVICE)


def _begin(tokenizer: Any) -> str:
    """Give what to write before a conversation for the control tokens that the tokenizer puts before a text.

    A tokenizer that puts a space before the first word of a text alone sees none after a control token.
    """
    taught = tokenizer.backend_tokenizer.encode(KEYWORDS[0])
    first = taught.special_tokens_mask.index(0)
    tokens = "".join(taught.tokens[:first])
    for begin in (tokens, f"{tokens} "):
        served = tokenizer.backend_tokenizer.encode(begin + KEYWORDS[0], add_special_tokens=False)
        if served.ids == taught.ids[: len(served.ids)]:
            return begin
    log("chat_template").warning(
        "the chat template's first tokens are not those of training, whose text begins %r", tokens
    )
    return tokens
