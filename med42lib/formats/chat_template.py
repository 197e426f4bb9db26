"""The prompt format as a chat template, and a tokenizer that reads texts as it did in training, for who serves a model.

transformers, vLLM and MLflow write a conversation with the template that lies beside the tokenizer, TGI with the one in
its settings. All tokenise what was written without the marks that a tokenizer puts around a text. So the template is in
both places, and writes the beginning too. A conversation without a system message gets the system text that nearly all
training data have; one whose system message is empty gets none, as training data that say so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from med42lib.core.log import log
from med42lib.formats.prompt import DEFAULT_SYSTEM, KEYWORDS, reserved
from med42lib.formats.tokenizer_loading import control_tokens, copy_as_read, put_settings

CHAT_TEMPLATE_FILE = "chat_template.jinja"
_OTHER_TEMPLATE_FILE = "chat_template.json"
_ADVICE = "fetch the base model again"
_TEMPLATE = """\
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
{%- if not messages or messages[0]['role'] != 'system' -%}
{{- '<|system|>: ' ~ SYSTEM ~ '\\n' -}}
{%- endif -%}
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


def chat_template(tokenizer: Any) -> str:
    """Write the prompt format as a Jinja template: what `formats/prompt.py` renders, with beginning and end token.

    Args:
        tokenizer: The model's, a `PreTrainedTokenizerFast` with an end token.
    """
    values = {
        "RESERVED": list(reserved(control_tokens(tokenizer))),
        "BEGIN": _begin(tokenizer),
        "END": tokenizer.eos_token,
        "SYSTEM": DEFAULT_SYSTEM,
    }
    lines = [f"{{%- set {name} = {json.dumps(value, ensure_ascii=False)} -%}}\n" for name, value in values.items()]
    return "".join([*lines, _TEMPLATE])


def save_tokenizer(base: Path, folder: Path) -> None:
    """Copy a base's tokenizer for a model trained on it: with our chat template, and read as `pack` read it.

    Raises:
        DataError: If the base has no usable tokenizer.
    """
    template = chat_template(copy_as_read(base, folder, _ADVICE))
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
