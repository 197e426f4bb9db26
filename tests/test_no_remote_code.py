"""No module of the library lets a model bring its own code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import med42lib

LIBRARY = Path(med42lib.__file__).parent
LOADERS = ("from_pretrained", "from_config", "SentenceTransformer", "pipeline")
KNOW_NO_REMOTE_CODE = ("PeftModel", "GenerationConfig")


def loading_calls() -> Iterator[tuple[str, ast.Call]]:
    """All calls by which transformers, peft or sentence-transformers load a model, with their places."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                whose, _, name = ast.unparse(node.func).rpartition(".")
                if name in LOADERS and whose not in KNOW_NO_REMOTE_CODE:
                    yield f"{path.relative_to(LIBRARY)}:{node.lineno}", node


def test_every_call_that_loads_a_model_says_that_no_remote_code_is_trusted() -> None:
    calls = list(loading_calls())

    # Where nothing is said, transformers asks on the terminal, and runs the code after a "y".
    asking = [
        place
        for place, call in calls
        if not any(word.arg == "trust_remote_code" and ast.unparse(word.value) == "False" for word in call.keywords)
    ]
    assert asking == []
    assert len(calls) >= 8


def test_no_call_unpickles() -> None:
    unpickling = ("torch.load(", "pickle.load", "joblib.load", "trust_remote_code=True")
    assert not [
        path.name
        for path in LIBRARY.rglob("*.py")
        if any(call in path.read_text(encoding="utf-8") for call in unpickling)
    ]
