"""The script that installs, run with stand-ins for what builds: where it looks for packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from images.build import REPOSITORY

SCRIPT = (REPOSITORY / "images/install.sh").read_text(encoding="utf-8")
PIP = f"""#!/bin/sh
exec {sys.executable} -m pip "$@"
"""
UV = """#!/bin/sh
echo "default=$UV_DEFAULT_INDEX others=$(echo $UV_INDEX)"
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script with its folders below a temporary one."""
    for name, text in {"pip": PIP, "uv": UV}.items():
        program = tmp_path / "tools" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    (tmp_path / "med42/requirements").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    script = tmp_path / "install.sh"
    script.write_text(SCRIPT.replace("/opt/", f"{tmp_path}/").replace("/run/secrets/", f"{tmp_path}/secrets/"))
    return script


def asked(script: Path) -> str:
    """Say which package indexes are asked."""
    return subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout.strip()


def test_the_secret_pip_conf_says_which_indexes_are_asked(install: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "[global]",
        "index-url = https://a.example/simple",
        "extra-index-url = https://u:p@b.example",
        "  https://c.example",
    ]
    (install.parent / "secrets/pip.conf").write_text("\n".join(lines))
    assert asked(install) == "default=https://a.example/simple others=https://u:p@b.example https://c.example"
    monkeypatch.setenv("TORCH_INDEX", "https://torch.example")
    assert asked(install).endswith("others=https://torch.example https://u:p@b.example https://c.example")


def test_a_variable_of_the_base_image_goes_before_the_file_as_with_pip(
    install: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (install.parent / "secrets/pip.conf").write_text("[global]\nindex-url = https://a.example/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://base.example")
    assert asked(install) == "default=https://base.example others="
