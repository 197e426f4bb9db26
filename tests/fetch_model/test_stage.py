import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from med42lib.core.errors import DataError
from med42lib.fetch_model.config import FetchModelConfig
from med42lib.fetch_model.stage import fetch_model
from med42lib.store.artifacts import Source, Target
from med42lib.store.manifest import describe_folder, files_digest
from tests.json_files import edit
from tests.store.hub_server import REPO, REVISION, Hub, point_client_at, serving
from tests.tiny_tokenizer import byte_level


def mirror(weights: Path, output: Path, **settings: str | None) -> Target:
    output.mkdir()
    target = Target(output)
    fetch_model(
        FetchModelConfig.model_validate({"format": "huggingface", **settings}),
        weights=Source(str(weights)),
        model=target,
    )
    return target


def test_the_model_is_mirrored_byte_for_byte_and_can_be_loaded(weights: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (weights / "README.md").write_text("not needed")
    (weights / "pytorch_model.bin").write_bytes(b"never copied")

    target = mirror(weights, tmp_path / "out")

    model = target.folder / "model"
    assert {path.name for path in model.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert all(path.read_bytes() == (weights / path.name).read_bytes() for path in model.iterdir())
    tokens = AutoTokenizer.from_pretrained(model)("fever cough", return_offsets_mapping=True, return_tensors="pt")
    assert tokens.pop("offset_mapping").tolist() == [[[0, 5], [6, 11]]]
    assert AutoModelForCausalLM.from_pretrained(model)(tokens["input_ids"]).logits.shape == (1, 2, 64)


def test_mlflows_copy_of_the_tokenizer_makes_the_tokens_of_its_own_file_too(weights: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    numbers = byte_level(["2024 12 123 1234 12345678"] * 3)
    PreTrainedTokenizerFast(tokenizer_object=numbers, eos_token="</s>").save_pretrained(weights)
    digits = {"type": "Digits", "individual_digits": True}
    parts = [digits, json.loads((weights / "tokenizer.json").read_text())["pre_tokenizer"]]
    edit(weights / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": parts})
    edit(weights / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer", chat_template="{{ messages }}")
    edit(weights / "config.json", vocab_size=400)
    save_file(with_vocabulary(weights / "model.safetensors", 400), weights / "model.safetensors", {"format": "pt"})
    copy = mirror(weights, tmp_path / "out").folder / "components/tokenizer"
    expected = Tokenizer.from_file(str(weights / "tokenizer.json")).encode("In 2024, 12345678").ids
    tokenizer = AutoTokenizer.from_pretrained(copy)
    assert tokenizer("In 2024, 12345678")["input_ids"] == expected
    assert (tokenizer.eos_token, tokenizer.chat_template) == ("</s>", "{{ messages }}")


def with_vocabulary(path: Path, num_tokens: int) -> dict[str, Any]:
    """Give the weights with an embedding of so many tokens."""
    weights = load_file(path)
    embedding = weights["model.embed_tokens.weight"]
    return {**weights, "model.embed_tokens.weight": embedding.new_zeros(num_tokens, embedding.shape[1])}


def test_what_a_tokenizer_loses_is_said(weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror(weights, tmp_path / "out")
    assert "does not give back 10 of 12 texts that it was tried with, such as 'In 2024" in caplog.text


def test_parameters_and_bytes_are_recorded(weights: Path, tmp_path: Path) -> None:
    target = mirror(weights, tmp_path / "out")

    metrics = {point.key: point.value for point in Source(str(target.folder)).metrics()}
    num_bytes = sum(path.stat().st_size for path in (target.folder / "model").iterdir())
    assert metrics == {"total_parameters": 12_384, "bytes": num_bytes}


def test_what_is_copied_is_checked(weights: Path, tmp_path: Path) -> None:
    (weights / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(DataError, match="not a whole safetensors file"):
        mirror(weights, tmp_path / "out")


@pytest.mark.parametrize(
    ("names", "named", "message"),
    [
        ([], None, r"holds no \.gguf file; check the address"),
        (["one.gguf", "two.gguf"], None, r"holds one\.gguf, two\.gguf; name the one to take in fetch_model\.gguf_file"),
        (["one.gguf", "two.gguf"], "three.gguf", r"two\.gguf, but no three\.gguf; name"),
        (["one.gguf", "two.gguf"], "two.gguf", r"two\.gguf does not start with GGUF"),
        (["one.gguf", "q8/two.gguf"], "q8/two.gguf", r"two\.gguf does not start with GGUF"),
        (["one.gguf"], None, r"one\.gguf does not start with GGUF"),
    ],
)
def test_one_gguf_file_is_taken_and_of_several_the_one_that_is_named(
    tmp_path: Path, names: list[str], named: str | None, message: str
) -> None:
    pytest.importorskip("gguf", reason="checked before the file is read")
    for name in ["README.md", *names]:
        (tmp_path / "weights" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "weights" / name).write_text("x")
    with pytest.raises(DataError, match=message):
        mirror(tmp_path / "weights", tmp_path / "out", format="gguf", gguf_file=named)


def test_the_format_has_to_be_chosen() -> None:
    with pytest.raises(ValidationError, match="format"):
        FetchModelConfig.model_validate({})


def test_two_mirrors_of_the_same_weights_are_equal(weights: Path, tmp_path: Path) -> None:
    first, second = (mirror(weights, tmp_path / name) for name in ("first", "second"))

    digests = {files_digest(describe_folder(target.folder, target.notes)) for target in (first, second)}
    assert len(digests) == 1
    assert json.loads((first.folder / "model" / "config.json").read_text())["model_type"] == "llama"


def test_from_a_hub_only_the_wanted_large_files_are_fetched(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in weights.iterdir()}
    large = {"model.safetensors": files["model.safetensors"], "pytorch_model.bin": b"not this one"}
    with serving(Hub({**files, **large}, large=frozenset(large))) as hub:
        point_client_at(hub.endpoint, monkeypatch, tmp_path)
        (tmp_path / "out").mkdir()
        source = Source(f"hub:{REPO}@{REVISION}", cache=tmp_path / "in")

        fetch_model(FetchModelConfig(format="huggingface"), weights=source, model=Target(tmp_path / "out"))

    model = tmp_path / "out" / "model"
    assert {path.name: path.read_bytes() for path in model.iterdir()} == files
    assert not any(path.is_symlink() for path in model.iterdir())
    assert "pytorch_model.bin" not in hub.served
    [cached] = (tmp_path / "hub-cache").glob("models--*/snapshots/*")
    shared = {path.name for path in model.iterdir() if path.samefile(cached / path.name)}
    assert shared == {"model.safetensors"}, "it takes the space once, and who edits a text there edits none of ours"


def test_what_was_fetched_leaves_the_output_no_second_name(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its removal would change the time that the output's file is known by, and the next stage would hash it anew."""
    remote = Source(str(weights), cache=tmp_path / "in")
    monkeypatch.setattr(remote, "is_remote", True)
    (tmp_path / "out").mkdir()
    fetch_model(FetchModelConfig(format="huggingface"), weights=remote, model=Target(tmp_path / "out"))
    assert {path.stat().st_nlink for path in (tmp_path / "out/model").iterdir()} == {1}


def test_a_users_own_files_are_not_ours_under_another_name(weights: Path, tmp_path: Path) -> None:
    copied = mirror(weights, tmp_path / "out").folder / "model/model.safetensors"
    assert not copied.samefile(weights / "model.safetensors")


@pytest.mark.parametrize(
    ("card", "setting", "licence"),
    [
        ("---\nlicense: mit\n---\n", None, "mit"),
        ("---\nlicense: mit\n---\n", "by contract", "by contract"),
        ("---\nlicense: [\n---\n", None, ""),
        (None, None, ""),
    ],
)
def test_the_bases_licence_is_kept_as_a_note(
    card: str | None, setting: str | None, licence: str, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without = mirror(weights, tmp_path / "without")
    if card is not None:
        (weights / "README.md").write_text(card)
    target = mirror(weights, tmp_path / "out", licence=setting)
    assert json.loads((target.folder / "licence.json").read_text()) == {"licence": licence}
    assert files_digest(target.files()) == files_digest(without.files()), "no stage works anew for it"
    assert ("no licence is known of the base" in caplog.text) == (card == "---\nlicense: [\n---\n")
