import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from med42lib.core.errors import AccessError, DataError, StoreError
from med42lib.store.artifacts import Source
from med42lib.store.backends.local import LocalStore
from med42lib.store.backends.s3 import S3Store
from med42lib.store.lineage import Lineage, trace
from med42lib.store.manifest import Input, Manifest, describe_folder
from tests.store.outputs import published


class Store:
    """Publishes outputs of invented stages, one file each."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, stage: str, *inputs: Path, target: str = "out", key: str = "k", content: str = "") -> Path:
        return self.publish_of(stage, {f"edge{n}": path for n, path in enumerate(inputs)}, target, key, content)

    def publish_of(
        self, stage: str, inputs: dict[str, Path], target: str = "out", key: str = "k", content: str = ""
    ) -> Path:
        folder = self.root / "made" / f"{stage}-{target}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(content or f"{stage} {target} {key}")
        sources = {edge: Source(str(path)) for edge, path in inputs.items()}
        recorded = {edge: Input(source.digest, source.address) for edge, source in sources.items()}
        files = describe_folder(folder)
        manifest = Manifest(stage, target, key, {}, recorded, files, None, "2026-01-01T00:00:00+00:00", 1.0)
        return Path(published(str(self.root), folder, manifest))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def walk(tmp_path: Path, *roots: Path) -> Lineage:
    return trace(*(Source(str(root)) for root in roots), cache=tmp_path / "cache")


def names(lineage: Lineage) -> list[str]:
    return [f"{output.manifest.stage}.{output.manifest.target}" for output in lineage.outputs]


def test_everything_upstream_comes_once_and_before_what_was_made_from_it(store: Store, tmp_path: Path) -> None:
    model = store.publish("model")
    packed = store.publish("packed", model)
    scores = store.publish("scores", model, packed)
    report = store.publish("report", scores, packed)
    lineage = walk(tmp_path, report)
    assert names(lineage) == ["model.out", "packed.out", "scores.out", "report.out"]
    assert lineage.missing == ()


def test_several_roots_are_walked_as_one(store: Store, tmp_path: Path) -> None:
    model = store.publish("model")
    package, report = store.publish("package", model), store.publish("report", model)
    assert names(walk(tmp_path, package, report)) == ["model.out", "package.out", "report.out"]
    assert names(walk(tmp_path, report, package, report)) == ["model.out", "report.out", "package.out"]


def test_two_outputs_of_one_call_are_two_outputs_and_one_stage_run(store: Store, tmp_path: Path) -> None:
    training = store.publish("check", target="training")
    found = store.publish("check", target="found")
    lineage = walk(tmp_path, store.publish("report", training, found))
    assert names(lineage) == ["check.training", "check.found", "report.out"]
    assert [[o.manifest.target for o in group] for group in lineage.stage_runs()] == [["training", "found"], ["out"]]


def test_calls_of_one_stage_are_told_apart_by_the_edge_that_read_them_or_else_by_key(
    store: Store, tmp_path: Path
) -> None:
    model = store.publish("model")
    scores = {key: store.publish("evaluate", model, key=key) for key in ("k1", "k2", "k3")}
    lineage = walk(tmp_path, store.publish("report", *scores.values()))
    edges = {str(scores["k1"]): "scores.lora", str(scores["k3"]): "trained.full", str(model): "base"}
    assert lineage.names(edges) == ["model", "evaluate[lora]", "evaluate[k2]", "evaluate[full]", "report"]


def test_calls_that_a_stage_read_as_one_of_several_are_called_as_it_called_them(store: Store, tmp_path: Path) -> None:
    shards = {f"embedded.{number}": store.publish("embed", key=f"k{number}") for number in (1, 2)}
    lineage = walk(tmp_path, store.publish_of("compare", shards))
    assert lineage.names({}) == ["embed[1]", "embed[2]", "compare"]


def test_shards_of_two_models_are_told_apart_by_the_model_and_the_shard(store: Store, tmp_path: Path) -> None:
    scores = {}
    for model in ("base", "lora"):
        shards = {f"answers.{n}": store.publish("answer", key=f"{model}{n}") for n in (1, 2)}
        scores[f"scores.{model}"] = store.publish_of("evaluate", shards, key=model)
    lineage = walk(tmp_path, store.publish_of("report", scores))
    assert lineage.names({str(address): edge for edge, address in scores.items()}) == [
        *("answer[base.1]", "answer[base.2]", "evaluate[base]"),
        *("answer[lora.1]", "answer[lora.2]", "evaluate[lora]"),
        "report",
    ]


def test_a_folder_of_the_users_ends_the_walk(store: Store, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.csv").write_text("a,b")
    lineage = walk(tmp_path, store.publish("assemble", data))
    assert names(lineage) == ["assemble.out"]
    assert lineage.missing == ()


def test_a_deleted_input_is_named_and_the_rest_is_still_found(store: Store, tmp_path: Path) -> None:
    model, packed = store.publish("model"), store.publish("packed")
    report = store.publish("report", model, packed)
    model.rename(tmp_path / "elsewhere")
    lineage = walk(tmp_path, report)
    assert names(lineage) == ["packed.out", "report.out"]
    assert lineage.missing == (f"'edge0' of report at {model} is no longer there, or cannot be read",)


def test_an_input_made_anew_with_other_content_is_not_taken_for_the_old_one(store: Store, tmp_path: Path) -> None:
    model = store.publish("model", content="old")
    report = store.publish("report", model)
    made_anew = store.publish("model", key="other", content="new")
    shutil.rmtree(model)
    made_anew.rename(model)
    lineage = walk(tmp_path, report)
    assert names(lineage) == ["report.out"]
    assert lineage.missing == (f"'edge0' of report at {model} was replaced by other content",)


@pytest.mark.parametrize("address", ["package:no_such_package/x", "package:tests/store", "package:no.package"])
def test_a_package_ends_the_walk_installed_here_or_not(store: Store, tmp_path: Path, address: str) -> None:
    model = input_of(store.publish("model") / "manifest.json", address)
    lineage = walk(tmp_path, model)
    assert names(lineage) == ["model.out"]
    assert lineage.missing == ()


def test_weights_from_a_hub_end_the_walk_without_asking_the_hub(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    model = store.publish("model")
    manifest = Manifest.from_json((model / "manifest.json").read_text(), where="here")
    weights = Input("0" * 64, f"hub:some-lab/tiny-llama@{'0' * 40}")
    (model / "manifest.json").write_text(replace(manifest, inputs={"weights": weights}).to_json())

    lineage = walk(tmp_path, model)

    assert names(lineage) == ["model.out"]
    assert lineage.missing == ()


def test_a_root_must_be_an_output(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match=r"plain is not the output of a stage: it has no manifest"):
        walk(tmp_path, tmp_path / "plain")


def test_a_broken_manifest_upstream_is_an_error(store: Store, tmp_path: Path) -> None:
    model = store.publish("model")
    report = store.publish("report", model)
    (model / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is not a readable manifest"):
        walk(tmp_path, report)


def test_the_digest_follows_keys_and_not_addresses(tmp_path: Path) -> None:
    def digest(root: str, key: str) -> str:
        store = Store(tmp_path / root)
        return walk(tmp_path, store.publish("report", store.publish("model", key=key))).digest

    assert digest("a", "k1") == digest("b", "k1") != digest("c", "k2")


def input_of(manifest: Path, address: str, digest: str = "0" * 64) -> Path:
    """Write a manifest of an output that says it was made from what is at an address."""
    made = Manifest.from_json(manifest.read_text(), where="here")
    manifest.write_text(replace(made, inputs={"edge0": Input(digest, address)}).to_json())
    return manifest.parent


def test_a_manifest_that_names_the_whole_machine_makes_nobody_walk_through_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = input_of(store.publish("model") / "manifest.json", "/")
    walked: list[str] = []
    monkeypatch.setattr(LocalStore, "files", lambda self, prefix="": walked.append(self.address) or {})
    assert walk(tmp_path, model).missing == ()
    assert walked == []


@pytest.mark.parametrize("error", [AccessError("403"), StoreError("no such bucket")], ids=["closed", "gone"])
def test_an_input_in_a_bucket_that_is_gone_or_closed_is_named_and_ends_no_report(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(self: S3Store, name: str) -> bytes:
        raise error

    monkeypatch.setattr(S3Store, "read", refused)
    model = input_of(store.publish("model") / "manifest.json", "s3://somebody-elses/model")
    assert "s3://somebody-elses/model is no longer there, or cannot be read" in walk(tmp_path, model).missing[0]


def test_an_address_that_is_none_is_named(store: Store, tmp_path: Path) -> None:
    model = input_of(store.publish("model") / "manifest.json", "gs://somewhere/x")
    assert "gs://somewhere/x is no longer there, or cannot be read" in walk(tmp_path, model).missing[0]


def test_a_chain_of_manifests_without_end_is_told_and_not_a_traceback(store: Store, tmp_path: Path) -> None:
    found = store.publish("model", key="first")
    for number in range(150):
        manifest = store.publish("model", key=f"k{number}") / "manifest.json"
        found = input_of(manifest, str(found), Source(str(found)).digest)
    with pytest.raises(DataError, match=r"is more than 100 stages upstream; its manifests are forged"):
        walk(tmp_path, found)
