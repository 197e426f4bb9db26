import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from med42lib.commands.main import main
from tests.hostile import UNSEEN, unseen_in
from tests.inspection.conftest import DataRun


def test_a_row_is_shown_as_text(
    run: DataRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["inspect", "dataset", "--store", run.store, "--id", run.leaked.id]) == 0
    text = capsys.readouterr().out
    for part in (run.leaked.id, "1 raw", "2 assemble", "3 decontaminate", "1.0000      exam/leak", "4 pack", "[</s>]"):
        assert part in text
    assert "\x1b" not in text


def test_a_terminal_gets_colour(
    run: DataRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MED42_TERMINAL", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["inspect", "dataset", run.outputs["packed"], "--id", run.leaked.id]) == 0
    assert "\x1b[32m" in capsys.readouterr().out


def test_without_an_id_rows_of_each_source_are_listed(run: DataRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "dataset", "--store", run.store]) == 0
    assert capsys.readouterr().out.startswith("128 training rows in ")
    assert main(["inspect", "dataset", "--store", run.store, "--random", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["dataset"] == run.outputs["dataset"]
    assert [source["num_rows"] for source in listed["sources"]] == [16, 96, 16]


def test_json_is_exact_and_steers_no_terminal(
    assembled: Callable[..., DataRun], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = assembled()
    finder = "med42lib.inspection.find.ExampleFinder.id_at"
    monkeypatch.setattr(finder, lambda _self, _row: UNSEEN)
    assert main(["inspect", "dataset", made.outputs["dataset"], "--json"]) == 0
    written = capsys.readouterr().out
    assert json.loads(written)["sources"][0]["rows"][0][0] == UNSEEN
    assert not unseen_in(written)


def test_a_wrong_id_is_one_message_and_an_exit_code(run: DataRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "dataset", "--store", run.store, "--id", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("\nerror: med42 inspect dataset\n  --id: no training row has the id")


def test_a_reader_that_stops_reading_is_no_error(run: DataRun) -> None:
    command = f"{sys.executable} -m med42lib inspect dataset --store {run.store} --id {run.leaked.id} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"{run.leaked.id}\n", "", 0)


def test_without_the_base_libraries_it_says_what_to_install(run: DataRun) -> None:
    code = (
        "import sys\nsys.modules['pyarrow'] = None\nfrom med42lib.commands.main import main\n"
        "sys.exit(main(['inspect', 'dataset', '--store', sys.argv[1]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, run.store], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "pip install --constraint constraints.txt '.[base]'" in done.stderr


@pytest.mark.slow
def test_a_store_in_a_bucket_is_read_as_a_folder_is(
    decontaminated: Callable[..., DataRun], bucket: str, inspect: Callable[..., dict[str, dict[str, object]]]
) -> None:
    made = decontaminated(store=f"s3://{bucket}/runs")
    made.pack("chunk_length=400")
    told = inspect("--store", made.store, "--id", made.leaked.id)
    assert told["run"] == made.outputs["packed"]
    assert made.leaked.question in told["raw"]["record"].values()  # type: ignore[attr-defined]
    assert len(told["pack"]["pieces"]) == 1  # type: ignore[arg-type]


def test_nothing_is_written_to_the_store(run: DataRun) -> None:
    def files() -> dict[str, float]:
        return {str(path): os.stat(path).st_mtime for path in Path(run.store).rglob("*")}

    before = files()
    main(["inspect", "dataset", "--store", run.store, "--id", run.leaked.id])
    assert files() == before
