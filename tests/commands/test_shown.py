import json
import re
from pathlib import Path

import pytest

from med42lib.catalogue import STAGES
from med42lib.commands.shown import shown_artifacts
from med42lib.engine.stage import Shown, Stage
from tests.conftest import REPOSITORY
from tests.store.outputs import filled, published

POINTS = [("accuracy/medqa", 0.5, 0), ("accuracy/overall", 1, 0), ("loss", 3.0, 1), ("loss", 2.0, 2)]
METRICS = "".join(
    json.dumps({"key": key, "value": value, "step": step, "timestamp_ms": 0}) + "\n" for key, value, step in POINTS
)
FILES = {"report.html": "<p>ü", "registered.json": '{"source": "s3://x/y"}', "metrics.jsonl": METRICS}


def shown_by(store: str, shown: Shown, tmp_path: Path) -> tuple[dict[str, object], Path]:
    address = published(store, filled(tmp_path / "made", FILES))
    stage = Stage("any", "med42lib.pack", "PackConfig", shown=(shown,), runtime="base")
    uri = str(tmp_path / "root/run" / shown.name)
    [artifact] = shown_artifacts(stage, {"output": address}, {shown.name: uri})
    assert artifact.uri == uri
    return dict(artifact.metadata) | {"address": address} if shown.kind == "model" else dict(artifact.metadata), Path(
        uri
    )


def test_a_page_is_the_outputs_file(tmp_path: Path) -> None:
    metadata, path = shown_by(str(tmp_path), Shown("page", "html", "output", "report.html"), tmp_path)
    assert path.read_text(encoding="utf-8") == "<p>ü"
    assert metadata == {}


def test_a_page_is_shown_without_links_to_the_files_beside_it_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = (REPOSITORY / "med42lib/report/pages/templates/report.html.j2").read_text(encoding="utf-8")
    [link] = re.findall("<a .*?</a>", template)
    elsewhere = '<a href="#figure-accuracy">Figure 1</a> <a href="https://host/x.html">x</a>'
    monkeypatch.setitem(FILES, "report.html", f"<p>All pairs: {link} beside this page</p>{elsewhere}")
    _, path = shown_by(str(tmp_path), Shown("page", "html", "output", "report.html"), tmp_path)
    assert path.read_text() == f"<p>All pairs: pairs.html beside this page</p>{elsewhere}"


@pytest.mark.slow
def test_an_output_in_a_bucket_is_shown_as_one_in_a_folder(bucket: str, tmp_path: Path) -> None:
    _, path = shown_by(f"s3://{bucket}", Shown("page", "html", "output", "report.html"), tmp_path)
    assert path.read_text(encoding="utf-8") == "<p>ü"


def test_metrics_are_those_of_the_wanted_names_as_floats_and_without_a_file(tmp_path: Path) -> None:
    metadata, path = shown_by(str(tmp_path), Shown("accuracy", "metrics", "output", "accuracy/"), tmp_path)
    assert metadata == {"medqa": 0.5, "overall": 1.0}
    assert all(isinstance(value, float) for value in metadata.values())
    assert not path.exists()


def test_a_curve_is_drawn_from_its_metric(tmp_path: Path) -> None:
    _, path = shown_by(str(tmp_path), Shown("curve", "curve", "output", "loss"), tmp_path)
    assert "3 at first, 2 at last" in path.read_text()


def test_a_model_is_its_address_and_what_is_said_of_it(tmp_path: Path) -> None:
    metadata, path = shown_by(str(tmp_path), Shown("version", "model", "output", "registered.json"), tmp_path)
    assert metadata["source"] == "s3://x/y"
    assert str(metadata["address"]).startswith(str(tmp_path))
    assert not path.exists()


def test_what_is_not_asked_for_is_not_made(tmp_path: Path) -> None:
    stage = Stage("any", "med42lib.pack", "PackConfig", shown=(Shown("page", "html", "o", "x"),), runtime="base")
    assert shown_artifacts(stage, {"o": str(tmp_path)}, {}) == []


def test_what_stages_show_is_of_outputs_that_they_have_under_names_of_their_own() -> None:
    for stage in STAGES.values():
        names = [shown.name for shown in stage.shown]
        assert {shown.output for shown in stage.shown} <= set(stage.targets)
        assert len({*names, *stage.targets, *stage.sources}) == len(names) + len(stage.targets) + len(stage.sources)
