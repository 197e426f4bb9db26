"""A run's checked settings: one JSON file in the store, named by its content, that every task reads its part of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from med42lib.core.config import section_of
from med42lib.core.errors import DataError
from med42lib.core.excerpts import brief
from med42lib.core.hashing import content_hash
from med42lib.store.address import join_address, open_store

FOLDER = "settings"
_DIGITS = 32
_NAME = re.compile(rf"[0-9a-f]{{{_DIGITS}}}\.json")


def put_settings(store: str, values: Mapping[str, Any]) -> str:
    """Write settings once; gives their address, which is the same for equal ones."""
    name = f"{FOLDER}/{settings_digest(values)}.json"
    open_store(store).put_once(name, _text(values).encode())
    return join_address(store, name)


def settings_digest(values: Mapping[str, Any]) -> str:
    """Name settings by their content."""
    return content_hash(_text(values), length=_DIGITS)


def digest_in_address(address: str) -> str:
    """Give the digest of the settings that are at an address."""
    return address.rpartition("/")[2].removesuffix(".json")


def read_settings(address: str, section: str) -> dict[str, Any]:
    """Read one section, also of a section: `pack`, `train.lora`.

    Raises:
        DataError: If nothing is at the address, or other content than was put there.
        ConfigError: If there is no such section.
    """
    return section_of(json.loads(_content(address)), section, title=f"settings at {address}")


def setting_at(settings: Mapping[str, Any], path: str, missing: object = None) -> Any:
    """Look a setting up by its path, such as `lora.rank`; gives `missing` if there is none."""
    value: Any = settings
    for name in path.split("."):
        value = value.get(name, missing) if isinstance(value, Mapping) else missing
    return value


def _content(address: str) -> str:
    folder, _, name = address.rpartition("/")
    if not folder or not _NAME.fullmatch(name):
        raise DataError(f"{brief(address)} is no address of settings; give what the task check put out")
    content = open_store(folder).read(name)
    if content is None:
        raise DataError(f"there are no settings at {address}; run the pipeline again, from its first task on")
    text = content.decode(errors="replace")
    if _name(text) != name:
        raise DataError(f"the settings at {address} were changed; delete that file and run the pipeline again")
    return text


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _name(text: str) -> str:
    return f"{content_hash(text, length=_DIGITS)}.json"
