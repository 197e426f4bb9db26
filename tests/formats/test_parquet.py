import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.formats.parquet import open_parquet

ROW_BYTES = 1024
NUM_ROWS = 96 * 1024

READ_ALL = """
import os, sys
from pathlib import Path
from med42lib.formats.parquet import open_parquet

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
with open_parquet(Path(sys.argv[1])) as file:
    sizes = [resident() for batch in file.iter_batches(1024, use_threads=False)]
print(max(sizes) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("rows_per_group", [1024, NUM_ROWS])
def test_a_file_is_read_to_its_end_in_a_fraction_of_its_size(tmp_path: Path, rows_per_group: int) -> None:
    path, noise = tmp_path / "x.parquet", np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema([("content", pa.binary())]), use_dictionary=False) as writer:
        for _ in range(NUM_ROWS // rows_per_group):
            writer.write_table(pa.table({"content": [noise.bytes(ROW_BYTES) for _ in range(rows_per_group)]}))
    read = subprocess.run([sys.executable, "-c", READ_ALL, path], capture_output=True, text=True, check=True)
    assert int(read.stdout) < NUM_ROWS * ROW_BYTES / 3


def test_an_opened_file_has_its_rows_and_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2, 3]}), tmp_path / "x.parquet", row_group_size=2)
    with open_parquet(tmp_path / "x.parquet") as file:
        assert [batch["n"].to_pylist() for batch in file.iter_batches(2)] == [[1, 2], [3]]
