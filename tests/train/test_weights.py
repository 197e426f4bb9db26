"""Saving without ZeRO; the round trip with it is in test_stage.py."""

import json
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    GraniteMoeConfig,
    MixtralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    core_model_loading,
)

from med42lib.core.errors import DataError
from med42lib.formats.model_folder import put_trained_settings, write_generation_settings
from med42lib.formats.prompt import render
from med42lib.formats.records import Exchange
from med42lib.formats.stored_weights import StoredNames
from med42lib.pack.tokenise import load_tokenizer
from med42lib.package_model.config import PackageModelConfig
from med42lib.package_model.stage import package_model
from med42lib.store.artifacts import Source, Target
from med42lib.train.config import Method
from med42lib.train.weights import count_elements, save_adapter, save_model, save_trained
from tests.tiny_llama import make_llama
from tests.tiny_tokenizer import byte_level


def save(model: Any, folder: Path, *, base: Path | None = None, **options: Any) -> None:
    """Save a model, as the fine-tune of a base in another folder or of one that is like itself."""
    folder.mkdir(exist_ok=True)
    with TemporaryDirectory() as place:
        if base is None:
            model.save_pretrained(place)
        save_model(model, folder, base=base or Path(place), gather=lambda weights: nullcontext(), **options)


@pytest.fixture
def tied_model() -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    return make_llama(tie_word_embeddings=True, **sizes)


@pytest.mark.parametrize("max_shard_bytes", [5_000_000_000, 4_000], ids=["one file", "several"])
def test_saved_weights_are_read_back_unchanged(tied_model: Any, tmp_path: Path, max_shard_bytes: int) -> None:
    save(tied_model, tmp_path / "saved", writes=True, max_shard_bytes=max_shard_bytes)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    weights = tied_model.state_dict()
    assert again.state_dict().keys() == weights.keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.state_dict().items())
    assert (len(list((tmp_path / "saved").glob("*.safetensors"))) > 1) == (max_shard_bytes < 5_000)


WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 32}
LLAMA = WIDTHS | {"intermediate_size": 24}
FAMILIES: dict[str, PreTrainedConfig] = {
    "renamed": GPTNeoXConfig(**LLAMA),
    "experts apart": MixtralConfig(**LLAMA, num_local_experts=3, num_key_value_heads=2),
    "experts together": GraniteMoeConfig(**LLAMA, num_local_experts=3, num_key_value_heads=2),
    "no prefix": GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=32, bos_token_id=1, eos_token_id=1),
}


@pytest.mark.parametrize("max_shard_bytes", [5_000_000_000, 8_000], ids=["one file", "several"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_fine_tune_has_the_names_and_shapes_of_its_bases_files(
    tmp_path: Path, family: str, max_shard_bytes: int
) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(FAMILIES[family]).save_pretrained(tmp_path / "base")
    published = load_file(tmp_path / "base/model.safetensors")
    if family == "no prefix":  # as in GPT-2's own repository
        published = {name.removeprefix("transformer."): weight for name, weight in published.items()}
    save_file(published, tmp_path / "base/model.safetensors", metadata={"format": "pt"})
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    del trained._weight_conversions  # as under ZeRO-3, where transformers does not say which it has used
    save(trained, tmp_path / "out", base=tmp_path / "base", writes=True, max_shard_bytes=max_shard_bytes)
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    saved = {name: weight for file in files for name, weight in load_file(file).items()}
    assert saved.keys() == published.keys()
    assert all(torch.equal(saved[name], weight) for name, weight in published.items())
    assert (len(files) > 1) == (max_shard_bytes < 10_000)
    if len(files) > 1:
        index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
        assert index["weight_map"].keys() == published.keys()
        assert index["metadata"]["total_size"] == sum(weight.nbytes for weight in published.values())


def test_a_full_fine_tune_has_its_bases_configuration_word_for_word_but_for_the_number_format(
    tied_model: Any, tmp_path: Path
) -> None:
    # As published for transformers 4, which would not find `rope_theta` where 5 writes it.
    tied_model.save_pretrained(tmp_path / "base")
    published = json.loads((tmp_path / "base/config.json").read_text())
    del published["rope_parameters"], published["dtype"]
    published |= {"rope_theta": 5e5, "rope_scaling": None, "torch_dtype": "float32"}
    (tmp_path / "base/config.json").write_text(json.dumps(published))
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.bfloat16)
    save(trained, tmp_path / "out", base=tmp_path / "base", writes=True)
    assert json.loads((tmp_path / "out/config.json").read_text()) == published | {"torch_dtype": "bfloat16"}
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (again.dtype, again.config.rope_parameters["rope_theta"]) == (torch.bfloat16, 5e5)


def test_a_base_whose_names_cannot_be_given_back_is_said_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    AutoModelForCausalLM.from_config(FAMILIES["renamed"]).save_pretrained(tmp_path)
    StoredNames.of(tmp_path).check()
    monkeypatch.setattr(core_model_loading, "revert_weight_conversion", lambda model, weights: weights)
    with pytest.raises(DataError, match=r"1 tensors of this GPTNeoXForCausalLM .* such as lm_head\.weight"):
        StoredNames.of(tmp_path).check()


def test_saving_twice_gives_the_same_bytes(tied_model: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save(tied_model, tmp_path / name, writes=True)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "model.safetensors" in files
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_a_process_that_does_not_write_writes_nothing(tied_model: Any, tmp_path: Path) -> None:
    save(tied_model, tmp_path / "saved", writes=False)
    assert list((tmp_path / "saved").iterdir()) == []


def test_split_weights_are_counted_whole(tied_model: Any) -> None:
    whole = count_elements(tied_model.parameters())
    for parameter in tied_model.parameters():
        parameter.ds_numel = parameter.numel()
        parameter.data = torch.empty(0)
    assert count_elements(tied_model.parameters()) == whole > 0


@pytest.mark.parametrize(
    ("base_hub", "name", "revision"),
    [(f"some/model@{40 * '0'}", "some/model", 40 * "0"), (None, "sha256:abc", None)],
    ids=["from a hub", "from a folder"],
)
def test_an_adapter_names_a_base_that_can_be_had_and_keeps_its_identity(
    tied_model: Any, tmp_path: Path, base_hub: str | None, name: str, revision: str | None
) -> None:
    adapted = get_peft_model(tied_model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    gather = lambda weights: nullcontext()  # noqa: E731
    save_adapter(adapted, tmp_path, base_name="sha256:abc", base_hub=base_hub, gather=gather, writes=True)
    read = PeftConfig.from_pretrained(str(tmp_path))
    assert (read.base_model_name_or_path, read.revision) == (name, revision)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["revision"] == revision
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as file:
        assert file.metadata()["base_model"] == "sha256:abc"


QUESTION, ANSWER, END = [5, 6], 9, 1


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    ("stated", "ends"),
    [
        ({"eos_token_id": 2, "temperature": 0.6}, [1, 2]),
        ({"eos_token_id": [2, 3]}, [1, 2, 3]),
        ({"eos_token_id": 1}, 1),
    ],
    ids=["another token", "several others", "the same"],
)
def test_a_fine_tune_stops_where_training_taught_it_to(
    tmp_path: Path, method: Method, stated: dict[str, Any], ends: int | list[int]
) -> None:
    base = write_base(tmp_path / "base", stated)
    model = AutoModelForCausalLM.from_pretrained(base)
    if method == "lora":
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    teach(model, [*QUESTION, ANSWER, END])
    gather = lambda weights: nullcontext()  # noqa: E731
    names = {"base_name": "sha256:abc", "base_hub": None, "end_token_id": END}
    save_trained(model, tmp_path / "out", method=method, base=base, gather=gather, writes=True, **names)
    again = load_again(base, tmp_path / "out", method)
    assert again.generation_config.eos_token_id == ends
    said = again.generate(torch.tensor([QUESTION]), max_new_tokens=8, do_sample=False, pad_token_id=0)
    assert said[0].tolist() == [*QUESTION, ANSWER, END]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_fine_tune_has_its_bases_terms_and_no_programs(tmp_path: Path, method: Method) -> None:
    base = write_base(tmp_path / "base", None)
    for name in ("LICENSE", "NOTICE.txt", "USE_POLICY.md", "LICENSE.py"):
        (base / name).write_text(f"the base's {name}")
    model = AutoModelForCausalLM.from_pretrained(base)
    if method == "lora":
        model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    gather = lambda weights: nullcontext()  # noqa: E731
    names = {"base_name": "sha256:abc", "base_hub": None, "end_token_id": END}
    save_trained(model, tmp_path / "out", method=method, base=base, gather=gather, writes=True, **names)
    folder = tmp_path / "out" / ("model" if method == "full" else "peft")
    assert (folder / "LICENSE").read_text() == "the base's LICENSE"
    assert {"LICENSE", "NOTICE.txt", "USE_POLICY.md"} <= {path.name for path in folder.iterdir()}
    assert not (folder / "LICENSE.py").exists()


def test_a_base_without_settings_of_generation_gets_the_tokens_of_its_configuration(tmp_path: Path) -> None:
    base = write_base(tmp_path, None)
    write_generation_settings(base, tmp_path, end_token_id=END)
    assert json.loads((tmp_path / "generation_config.json").read_text()) == {"bos_token_id": 0, "eos_token_id": [1, 2]}


@pytest.mark.parametrize("method", ["full", "lora"])
def test_mlflow_answers_messages_in_the_format_that_was_taught(tmp_path: Path, method: Method) -> None:
    import mlflow.transformers

    base = Path(write_base(tmp_path / "base/model", {"eos_token_id": 1}, vocab_size=400))
    model = AutoModelForCausalLM.from_pretrained(base)
    if method == "lora":
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    said = [Exchange("Fever?", "Yes."), Exchange("Cough?", "No.")]
    packing = load_tokenizer(base)
    (sample,) = packing.encode([render("Be kind.", said, control_tokens=packing.control_tokens, end_of_answer="</s>")])
    teach(model, sample.ids_T.tolist(), sample.response_T.tolist(), steps=80)
    gather = lambda weights: nullcontext()  # noqa: E731
    names = {"base_name": "sha256:abc", "base_hub": None, "end_token_id": packing.eos_token_id}
    save_trained(model, tmp_path / "out", method=method, base=base, gather=gather, writes=True, **names)
    sources = {"base": Source(str(tmp_path / "base")), "it": Source(str(tmp_path / "out"))}
    (tmp_path / "package").mkdir()
    package_model(
        PackageModelConfig(candidate="it"),
        base=sources["base"],
        trained={"it": sources["it"]},
        package=Target(tmp_path / "package"),
    )
    served = mlflow.transformers.load_model(str(tmp_path / ("out" if method == "full" else "package")))
    conversation = [{"role": "system", "content": "Be kind."}, *spoken(said)]
    for number in (2, 4):
        answered = served(conversation[:number], max_new_tokens=20, do_sample=False)[0]["generated_text"]
        assert answered[-1]["content"].strip() == conversation[number]["content"]


def spoken(said: list[Exchange]) -> list[dict[str, str]]:
    turns = (({"user": exchange.prompter}, {"assistant": exchange.assistant}) for exchange in said)
    return [{"role": role, "content": text} for pair in turns for turn in pair for role, text in turn.items()]


def write_base(folder: Path, stated: dict[str, Any] | None, *, vocab_size: int = 32) -> Path:
    torch.manual_seed(0)
    make_llama(vocab_size=vocab_size, bos_token_id=0, eos_token_id=2).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=byte_level(["fever"]), eos_token="</s>").save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    if stated is not None:
        (folder / "generation_config.json").write_text(json.dumps(stated))
    return folder


def teach(model: Any, ids: list[int], learnt: list[bool] | None = None, *, steps: int = 30) -> None:
    """Have it say this, or what is marked in it."""
    sample = torch.tensor([ids])
    labels = sample if learnt is None else sample.masked_fill(~torch.tensor([learnt]), -100)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        model(sample, labels=labels).loss.backward()
        optimizer.step()


def load_again(base: Path, out: Path, method: Method) -> Any:
    if method == "full":
        return AutoModelForCausalLM.from_pretrained(out / "model")
    put_trained_settings(out / "peft", base)
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), out / "peft")
