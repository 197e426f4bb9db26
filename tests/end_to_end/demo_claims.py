"""`python -m tests.end_to_end.demo_claims STORE`: what the README claims of the demo holds for the run in a store.

Full and LoRA beat the base on at least 150 clean questions by more than the paired 95 % interval, and exactly the
planted questions are flagged.
"""

import json
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

MIN_CLEAN_QUESTIONS = 150
PLANTED = REPOSITORY / "med42lib/demo/data/planted_leaks.json"
PAIRS = "decontaminate/*/*/contamination/pairs.jsonl"


def newest(store: Path, pattern: str) -> Path:
    """Find the newest file of a pattern."""
    return max(store.glob(pattern), key=lambda path: path.stat().st_mtime)


def check(store: Path) -> None:
    """Compare the claims with the newest report."""
    summary = json.loads(newest(store, "report/*/*/report/summary.json").read_text())
    for pair in ("full-base", "lora-base"):
        found = summary["difference"]["overall"][pair]["clean"]
        print(f"{pair}: {100 * found['value']:+.1f} points, at least {100 * found['low']:+.1f}, n = {found['n']}")
        assert found["n"] >= MIN_CLEAN_QUESTIONS, found
        assert found["low"] > 0, found
    flagged = {json.loads(line)["item_text"] for line in newest(store, PAIRS).read_text().splitlines()}
    planted = {leak["question"] for leak in json.loads(PLANTED.read_text())}
    print(f"{len(flagged)} questions flagged, {len(planted)} planted")
    assert flagged == planted


if __name__ == "__main__":
    check(Path(sys.argv[1]))
