import pytest

from med42lib.core.errors import ConfigError
from med42lib.formats.recipe import Recipe
from med42lib.report.provenance.models import Model, make_models, pairs_to_compare
from med42lib.report.provenance.record import TrainingRecord


def recipe(method: str) -> Recipe:
    return Recipe(method, 150, 120, 180_000, 63_000, 98_304, 2_140_000, 2, 1, 4.0, 0.6)


def models(**methods: str) -> tuple[Model, ...]:
    return make_models((name, TrainingRecord(recipe=recipe(method))) for name, method in methods.items())


@pytest.mark.parametrize(
    ("name", "method", "title", "subject"),
    [
        ("full", "full", "Full", "this full fine-tune"),
        ("lora", "lora", "LoRA", "this LoRA fine-tune"),
        ("lora_r64", "lora", "LoRA r64", "this LoRA r64 fine-tune"),
        ("full_seed2", "full", "Full seed2", "this Full seed2 fine-tune"),
        ("wide", "lora", "wide (LoRA)", "this wide (LoRA) fine-tune"),
        ("full", "lora", "full (LoRA)", "this full (LoRA) fine-tune"),
        ("lora_2", "full", "lora_2 (Full)", "this lora_2 (Full) fine-tune"),
        ("mine", "qlora", "mine (qlora)", "this mine (qlora) fine-tune"),
        ("full", "", "full", "this full fine-tune"),
    ],
)
def test_a_models_title_comes_from_its_name_and_its_real_method(
    name: str, method: str, title: str, subject: str
) -> None:
    _, model = models(**{name: method})
    assert (model.title, model.subject) == (title, subject)


def test_what_was_trained_with_several_seeds_is_called_by_its_method() -> None:
    settings = {"method": "lora", "learning_rate": 0.001}
    records = [(name, TrainingRecord({**settings, "seed": k})) for k, name in enumerate(("lora", "lora_seed2"))]
    other = ("lora_seed3", TrainingRecord({**settings, "learning_rate": 0.002, "seed": 3}))
    _, lora, third = make_models([*records, other])
    assert (lora.trainings, lora.subject) == (("lora", "lora_seed2"), "LoRA")
    assert (third.trainings, third.subject) == (("lora_seed3",), "this LoRA seed3 fine-tune")


def test_the_recipe_says_the_method_and_without_one_the_settings() -> None:
    both = TrainingRecord(settings={"method": "full"}, recipe=recipe("lora"))
    assert make_models([("a", both), ("b", TrainingRecord(settings={"method": "full"}))])[1:] == (
        Model("a", "lora", 1, ("a",)),
        Model("b", "full", 2, ("b",)),
    )


def test_unless_asked_each_is_compared_with_the_base_and_the_first_full_with_the_first_lora() -> None:
    several = models(a="full", b="full", c="lora", d="lora")
    assert pairs_to_compare((), several) == (("a", "base"), ("b", "base"), ("c", "base"), ("d", "base"), ("a", "c"))
    assert pairs_to_compare((), models(lora="lora")) == (("lora", "base"),)
    assert pairs_to_compare((), models()) == ()


def test_only_what_is_asked_is_compared() -> None:
    assert pairs_to_compare((("c", "a"),), models(a="full", c="lora")) == (("c", "a"),)


def test_a_pair_with_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="compare: names 'lora_r8'; the models are base, full"):
        pairs_to_compare((("full", "lora_r8"),), models(full="full"))


def test_colours_come_again_after_six_fine_tunes() -> None:
    colours = [model.colour for model in models(**dict.fromkeys("abcdefg", "lora"))]
    assert colours == ["base", *(f"model-{number}" for number in range(1, 7)), "model-1"]
