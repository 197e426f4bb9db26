import json
import subprocess
import sys

import pytest

from med42lib.catalogue import STAGES

HEAVY = ["torch", "transformers", "peft", "deepspeed", "sentence_transformers", "lm_eval", "mlflow", "pyarrow", "kfp"]


def heavy_modules_after(code: str) -> list[str]:
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(set({HEAVY}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_signature_is_read_without_importing_anything_heavy(name: str) -> None:
    loading = f"from med42lib.catalogue import STAGES\ns = STAGES[{name!r}]\ns.sources, s.targets, s.config_class"
    assert heavy_modules_after(loading) == []


def test_settings_and_spec_need_nothing_heavy() -> None:
    assert heavy_modules_after("import med42lib.spec, med42lib.commands.main") == []


def test_names_are_the_functions_names() -> None:
    assert all(stage.function.__name__ == name for name, stage in STAGES.items())
