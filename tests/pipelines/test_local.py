import json
from pathlib import Path

import pytest

from med42lib.core.hashing import content_hash
from pipelines.local import conclude
from tests.store.outputs import filled, manifest_of, published

SUBSETS = ("all", "clean")
HEADING = "benchmark,subset,model,n,accuracy\n"


@pytest.mark.slow
def test_the_report_shown_at_the_end_is_never_one_that_an_earlier_run_fetched(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "home"))
    rows = "".join(f"overall,{s},{model},7,0.5\n" for s in SUBSETS for model in ("base", "full", "lora"))
    made = filled(tmp_path / "made", {"results.csv": HEADING + rows, "report.html": "new"})
    address = published(f"s3://{bucket}", made, manifest_of(made, stage="report", target="report"))
    cached = tmp_path / "home/reports" / content_hash(address)
    filled(cached, {"results.csv": HEADING, "report.html": "old"})

    conclude(address, seconds=1.0)

    assert "overall" in capsys.readouterr().out
    assert (cached / "report.html").read_text() == "new"


@pytest.mark.parametrize(
    ("registered", "loaded"),
    [
        ({"model": "m", "source": "file:///s", "weights": "w"}, "file:///s"),
        ({"enabled": False}, None),
    ],
)
def test_the_end_of_a_run_shows_how_to_load_what_was_registered(
    registered: dict[str, object],
    loaded: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = HEADING + "".join(f"overall,{subset},base,7,0.5\n" for subset in SUBSETS)
    report = filled(tmp_path / "report", {"results.csv": rows, "report.html": "new"})
    conclude(str(report), 1.0, str(filled(tmp_path / "registered", {"registered.json": json.dumps(registered)})))
    shown = capsys.readouterr().out
    code = f"""import mlflow

mlflow.set_tracking_uri('sqlite:///{tmp_path}/home/mlflow.db')
pipeline = mlflow.transformers.load_model({loaded!r})"""
    assert (code in shown) == (loaded is not None)
    assert ("import mlflow" in shown) == (loaded is not None)
