"""`python -m components.readme` writes each component's README from its stage's signature and settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from med42lib.catalogue import STAGES
from med42lib.core.errors import install_command
from med42lib.engine.stage import Stage
from med42lib.spec import SEEDS, SEEDS_SCHEMA

FOLDER = Path(__file__).parent
SPEED_ONLY_NOTE = " *Outputs made with another value are reused.*"


def readme(stage: Stage) -> str:
    """Describe a component: what it does, its inputs and outputs, and every setting."""
    summary, _, rest = (stage.function.__doc__ or "").partition("\n")
    return "\n".join(
        [
            f"# {stage.name}",
            "",
            "<!-- written by `python -m components.readme`; change the stage's docstrings instead -->",
            "",
            summary,
            "",
            *_paragraphs(rest),
            f"Image: `med42/{stage.runtime}`. Without images, in a clone: `{install_command(stage.runtime)}`.",
            "",
            "| parameter | direction | what |",
            "|---|---|---|",
            "| `settings` | in | address of the run's checked settings, which `check` wrote |",
            "| `section` | in | the part of them that holds the settings below |",
            "| `store` | in | address under which the outputs are put |",
            *(f"| `{name}` | in | {_kind(stage, name)} |" for name in stage.sources),
            *(f"| `{name}` | out | address |" for name in stage.targets),
            *(f"| `{shown.name}` | shown | {shown.kind} |" for shown in stage.shown),
            "",
            "## Settings",
            "",
            "| setting | type | default | what |",
            "|---|---|---|---|",
            *_settings(stage.config_class.model_json_schema()),
            *(_settings({"properties": {SEEDS: SEEDS_SCHEMA}}) if stage.name == "train" else ()),
            "",
        ]
    )


def _kind(stage: Stage, edge: str) -> str:
    return "addresses by name, as JSON" if edge in stage.mappings else "address"


def _paragraphs(text: str) -> list[str]:
    """Keep the docstring's prose, without its Args and Raises sections."""
    prose = text.split("\n    Args:")[0].split("\n    Raises:")[0]
    lines = [line.strip() for line in prose.strip().splitlines()]
    return [*lines, ""] if lines else []


def _settings(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    definitions = schema.get("$defs", {})
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", [])
        default = "required" if required else f"`{json.dumps(field.get('default'), ensure_ascii=False)}`"
        if "$ref" not in field:
            note = SPEED_ONLY_NOTE if field.get("speed_only") else ""
            text = " ".join((field.get("description", "") + note).split()).replace("|", "\\|")
            yield f"| `{prefix}{name}` | {_type(field, definitions)} | {default} | {text} |"
        for place, inner in _nested(field, definitions):
            yield from _settings({**inner, "$defs": definitions}, f"{prefix}{name}.{place}")


def _nested(field: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the classes of settings inside a field, with what stands before their names: a key of the user's."""
    options = [("", option) for option in [field, *field.get("anyOf", [])]]
    for place, option in [*options, ("NAME.", field.get("additionalProperties") or {})]:
        name = option.get("$ref", "").rpartition("/")[2] if isinstance(option, dict) else ""
        if "properties" in definitions.get(name, {}):
            yield place, definitions[name]


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        return " or ".join(_type(option, definitions) for option in field["anyOf"])
    if "$ref" in field:
        return str(definitions[field["$ref"].rpartition("/")[2]].get("title", "object"))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}), definitions)}"
    return str(field.get("type", "any"))


def write_all() -> None:
    """Write every README."""
    for stage in STAGES.values():
        (FOLDER / stage.name / "README.md").write_text(readme(stage), encoding="utf-8")


if __name__ == "__main__":
    write_all()
