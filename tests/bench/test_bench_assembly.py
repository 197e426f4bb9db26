import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.bench_assembly import one_row_more
from tests.bench.measured import measure

BENCH = Path(__file__).with_name("bench_assembly.py")


@pytest.mark.slow
def test_the_bench_compares_equal_rows_and_prints_both_ratios_and_what_a_rerun_read() -> None:
    pytest.importorskip("datasets", reason="the bench needs datasets")
    run = subprocess.run([sys.executable, str(BENCH), "--scales", "0.002"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"^\| 1,\d{3} \| \d+ \| med42 assemble \| \d+\.\d \|", run.stdout, re.MULTILINE)
    assert re.search(r"\| datasets, \d process(es)? \|.*\| \d+\.\d times as fast \|$", run.stdout, re.MULTILINE)
    assert re.search(r"\| floor: read, hash, write \|.*\| at \d+\.\d times the floor \|$", run.stdout, re.MULTILINE)
    assert "| rerun after medmcqa changed: read medmcqa |" in run.stdout


def test_a_row_is_added_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text('{"id": "1", "question": "Why?"}\n')
    with one_row_more(path):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert rows == [{"id": "1", "question": "Why?"}, {"id": "added", "question": "Added: Why?"}]
    assert path.read_text() == '{"id": "1", "question": "Why?"}\n'


def test_memory_is_that_of_the_whole_process_tree() -> None:
    holder = "import time; held = bytearray(60_000_000); time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holder!r}]); print('done')"
    measured = measure([sys.executable, "-c", parent])
    assert measured.output == "done\n"
    assert 60_000_000 < measured.peak_bytes < 200_000_000
    assert measured.seconds > 1


def test_a_command_that_fails_ends_the_bench_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
