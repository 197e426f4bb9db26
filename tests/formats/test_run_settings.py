import json
from pathlib import Path

import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.formats.run_settings import put_settings, read_settings, setting_at

SETTINGS = {"pack": {"seed": 1}, "train": {"lora": {"seed": 2}}}


def test_a_section_is_read_as_it_was_put_and_equal_settings_have_one_address(tmp_path: Path) -> None:
    address = put_settings(str(tmp_path), SETTINGS)
    assert read_settings(address, "pack") == {"seed": 1}
    assert read_settings(address, "train.lora") == {"seed": 2}
    assert put_settings(str(tmp_path), dict(reversed(SETTINGS.items()))) == address
    assert put_settings(str(tmp_path), {"pack": {"seed": 3}}) != address


@pytest.mark.parametrize("section", ["parck", "train.full", "pack.seed", "pack.seed.x"])
def test_a_section_that_is_not_there_is_named(section: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=section):
        read_settings(put_settings(str(tmp_path), SETTINGS), section)


def test_settings_that_are_gone_or_were_changed_are_refused(tmp_path: Path) -> None:
    address = put_settings(str(tmp_path), SETTINGS)
    Path(address).write_text(json.dumps({"pack": {"seed": 9}}))
    with pytest.raises(DataError, match="were changed"):
        read_settings(address, "pack")
    Path(address).unlink()
    with pytest.raises(DataError, match="no settings at"):
        read_settings(address, "pack")


def test_a_setting_is_found_by_its_path_and_one_that_is_null_is_not_missing() -> None:
    settings = {"pack": {"seed": 7}, "train": {"full": {"lora": {"rank": None}}}}
    assert setting_at(settings, "pack.seed") == 7
    assert setting_at(settings, "train.full.lora.rank", "missing") is None
    assert setting_at(settings, "pack.seed.x", "missing") == setting_at(settings, "train.x.y", "missing") == "missing"
