"""What all tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The publishers' own files; tests that need them skip where they are not."""
    folder = Path(os.environ.get("MED42_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "MANIFEST.json").is_file():
        pytest.skip(f"no real data at {folder}: set MED42_REAL_DATA to the folder that holds MANIFEST.json")
    return folder
