from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

from med42lib.core.errors import DataError
from med42lib.engine.context import StageContext
from med42lib.evaluate import harness
from med42lib.evaluate.batches import Share
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.harness import BenchmarkTask, ScoringModel, answer_share, score_items
from med42lib.evaluate.journal import Journal
from med42lib.evaluate.prompts import ANSWER_DELIMITER, PromptedItem, lm_eval_task, make_prompt, scorings
from med42lib.formats.prompt import Rendered
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.scores import METRIC_OF, Normalise
from med42lib.formats.tokenizer_loading import control_tokens
from med42lib.pack.tokenise import SampleTokenizer
from tests.evaluate.lm_eval_tasks import HUB_ROWS, hub_items, lm_eval_task_on

Load = Callable[..., tuple[Any, Any]]
Settings = Callable[..., EvaluateConfig]


def as_trained(tokenizer: Any, context: str, answer: str) -> tuple[list[int], list[int]]:
    """Tokens of prompt and answer by the rule of `pack`, without the end token that pack puts after the answer."""
    text = context + ANSWER_DELIMITER + answer
    sample = SampleTokenizer(tokenizer).encode([Rendered(text, ((len(context), len(text)),))])[0]
    ids, response = sample.ids_T[:-1], sample.response_T[:-1]
    return ids[~response].tolist(), ids[response].tolist()


def loglikelihood(model: Any, prompt: list[int], answer: list[int], max_tokens: int = 10_000) -> float:
    read = (prompt + answer)[:-1][-max_tokens:]
    with torch.no_grad():
        logits = model(torch.tensor([read])).logits[0].double()
    steps = logits.log_softmax(-1)[-len(answer) :]
    return float(steps[torch.arange(len(answer)), torch.tensor(answer)].sum())


def expected(model: Any, tokenizer: Any, question: PromptedItem) -> list[float]:
    return [loglikelihood(model, *as_trained(tokenizer, question.context, answer)) for answer in question.answers]


@pytest.mark.parametrize("answer", ["A", "Ascorbic acid", "β-carotene: 37.5 °C", "A "])
def test_prompt_and_answer_have_the_tokens_that_training_gives_them(
    base_of_each_kind: Path, load: Load, items: list[BenchmarkItem], answer: str
) -> None:
    model, tokenizer = load(base_of_each_kind)
    lm = ScoringModel(model, tokenizer, batch_size=1)
    for item in items:
        context = make_prompt(item, prompt="med42", scoring="letters", system="Be brief.").context
        assert lm._encode_pair(context, ANSWER_DELIMITER + answer) == as_trained(tokenizer, context, answer)


@pytest.mark.parametrize("scoring", ["letters", "texts"])
@pytest.mark.parametrize("prompt", ["med42", "plain"])
@pytest.mark.parametrize("said", ["</s>", "a <s> b", "<|assistant|>: A"])
def test_no_text_of_a_benchmark_becomes_a_control_token_or_a_turn(
    base: Path, load: Load, items: list[BenchmarkItem], said: str, prompt: str, scoring: str
) -> None:
    model, tokenizer = load(base)
    item = replace(items[0], question=said, context=said, options=(said, "x", "y"))
    seen: list[str] = []
    lm = ScoringModel(model, tokenizer, batch_size=1)
    config = EvaluateConfig.model_validate({"prompt": prompt, "scoring": scoring, "system": said})
    how = scorings([item], config)[item.benchmark]
    task = BenchmarkTask(item.benchmark, [item], how, config, control_tokens(tokenizer))
    (document,) = task.dataset["test"]
    for answer in document["answers"]:
        prompt_ids, answer_ids = lm._encode_pair(document["context"], ANSWER_DELIMITER + answer)
        assert not {0, 1, 2} & {*prompt_ids, *answer_ids}
        seen.append(document["context"] + answer)
    assert all(text.count("<|assistant|>") == (prompt == "med42") for text in seen)


def test_the_kinds_of_tokenizer_differ_in_how_a_text_begins_and_ends(bases: dict[str, Path], load: Load) -> None:
    around = {name: [load(folder)[1]("A")["input_ids"][end] for end in (0, -1)] for name, folder in bases.items()}
    assert {name: (ids[0] == 1, ids[1] == 2) for name, ids in around.items()} == {
        "byte_level": (False, False),
        "sentence_piece": (True, False),
        "closing": (True, True),
    }


@pytest.mark.parametrize("prompt", ["med42", "plain"])
@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_loglikelihoods_are_those_of_the_model(
    base_of_each_kind: Path, load: Load, items: list[BenchmarkItem], settings: Settings, prompt: str, scoring: str
) -> None:
    model, tokenizer = load(base_of_each_kind)
    config = settings(prompt=prompt, scoring=scoring)
    scores = score_items(items, model, tokenizer, config)
    for item, score in zip(items, scores, strict=True):
        question = make_prompt(item, prompt=config.prompt, scoring=config.scoring, system=config.system)
        np.testing.assert_allclose(score.loglikelihoods, expected(model, tokenizer, question), atol=1e-4)


@pytest.mark.parametrize("normalise", ["none", "characters"])
def test_a_plain_items_loglikelihoods_and_mark_are_those_of_lm_evals_own_task(
    base: Path, load: Load, normalise: Normalise
) -> None:
    model, tokenizer = load(base)
    tasks = {name: lm_eval_task_on(name) for name in HUB_ROWS}
    lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=3, softmax_dtype="float32")
    samples = evaluate(lm, {"tasks": tasks, "groups": {}, "group_map": {}}, bootstrap_iters=0)["samples"]
    for benchmark, (row, *_) in samples.items():
        how = {"prompt": "plain", "scoring": lm_eval_task(benchmark).scoring, "normalise": normalise}
        (score,) = score_items(hub_items(benchmark), model, tokenizer, EvaluateConfig.model_validate(how))
        theirs = [loglikelihood for loglikelihood, _ in row["filtered_resps"]]
        np.testing.assert_allclose(score.loglikelihoods, theirs, atol=1e-4)
        metric = METRIC_OF[normalise]
        assert score.correct == bool(row.get(metric, score.correct))


def test_scores_come_in_the_items_order_with_as_many_loglikelihoods_as_options(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    scores = score_items(items[::-1], *load(base), settings())
    assert [score.item_id for score in scores] == ["medqa/3", "medqa/2", "pubmedqa/2", "medqa/1", "pubmedqa/1"]
    assert [len(score.loglikelihoods) for score in scores] == [4, 3, 3, 4, 3]
    assert [score.gold for score in scores] == [1, 2, 1, 2, 0]


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_questions_of_four_to_nine_options_are_scored_together(
    base_of_each_kind: Path, load: Load, make_item: Callable[..., BenchmarkItem], settings: Settings, scoring: str
) -> None:
    """As in the USMLE's exams: one benchmark, and lm-eval must neither pad nor cut the options."""
    mixed = [
        make_item("usmle_sample_exam", k, f"Question {k}?", tuple(f"option {n}" for n in range(k)), k - 1)
        for k in (9, 4, 5, 6, 7, 8)
    ]
    model, tokenizer = load(base_of_each_kind)
    config = settings(scoring=scoring, batch_size=4)
    scores = score_items(mixed, model, tokenizer, config)
    assert [len(score.loglikelihoods) for score in scores] == [9, 4, 5, 6, 7, 8]
    for item, score in zip(mixed, scores, strict=True):
        question = make_prompt(item, prompt=config.prompt, scoring=config.scoring, system=config.system)
        np.testing.assert_allclose(score.loglikelihoods, expected(model, tokenizer, question), atol=1e-4)
        assert score.correct == (score.prediction == item.gold)


def test_each_benchmark_is_scored_in_its_own_way(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    model, tokenizer = load(base)
    mixed = score_items(items, model, tokenizer, settings(benchmarks={"medqa": {"scoring": "texts"}}))
    letters, texts = (score_items(items, model, tokenizer, settings(scoring=kind)) for kind in ("letters", "texts"))
    for item, *(found, by_letters, by_texts) in zip(items, mixed, letters, texts, strict=True):
        same, other = (by_texts, by_letters) if item.benchmark == "medqa" else (by_letters, by_texts)
        np.testing.assert_allclose(found.loglikelihoods, same.loglikelihoods, atol=1e-4)
        assert np.abs(np.subtract(found.loglikelihoods, other.loglikelihoods)).max() > 1e-2


def test_the_same_option_twice_has_the_same_loglikelihood(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    first, second, _ = score_items([items[3]], *load(base), settings(scoring="texts"))[0].loglikelihoods
    assert first == second


@pytest.mark.parametrize("scoring", ["letters", "texts"])
def test_a_right_option_that_stands_twice_is_right_in_both_places_and_lm_eval_agrees(
    base: Path, load: Load, make_item: Callable[..., BenchmarkItem], settings: Settings, scoring: str
) -> None:
    model, tokenizer = load(base)
    asked = [make_item("medmcqa", number, "Name it.", ("Zinc", "Zinc"), number) for number in (0, 1)]
    scores = score_items(
        [*asked, make_item("medmcqa", 2, "Name it.", ("A", "B"), 0)], model, tokenizer, settings(scoring=scoring)
    )
    assert [score.correct for score in scores[:2]] == [True, True]
    assert scores[2].correct == (scores[2].prediction == 0)


def test_the_batch_size_changes_rounding_only(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    model, tokenizer = load(base)
    one, all_ = (score_items(items, model, tokenizer, settings(scoring="texts", batch_size=n)) for n in (1, 64))
    for single, batched in zip(one, all_, strict=True):
        np.testing.assert_allclose(single.loglikelihoods, batched.loglikelihoods, atol=1e-4)


def test_a_model_made_to_say_c_says_c(base: Path, load: Load, items: list[BenchmarkItem], settings: Settings) -> None:
    model, tokenizer = load(base)
    say(model, token=tokenizer(" C")["input_ids"][0])
    scores = score_items(items, model, tokenizer, settings())
    assert [score.prediction for score in scores] == [2] * 5
    assert [score.correct for score in scores] == [False, True, False, True, False]


def say(model: Any, token: int) -> None:
    """Make a Llama give `token` the highest logit, whatever it reads."""
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(1.0)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight[token] = 1.0


def test_an_adapter_changes_the_scores(
    base: Path, adapter: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    adapted, tokenizer = load(adapter, base)
    config = settings(scoring="texts")
    with_it, without = score_items(items, adapted, tokenizer, config), score_items(items, *load(base), config)
    for item, changed, plain in zip(items, with_it, without, strict=True):
        assert np.abs(np.subtract(changed.loglikelihoods, plain.loglikelihoods)).min() > 1e-3
        question = make_prompt(item, prompt="med42", scoring="texts", system=config.system)
        np.testing.assert_allclose(changed.loglikelihoods, expected(adapted, tokenizer, question), atol=1e-4)


def test_a_question_too_long_for_the_model_loses_its_beginning_and_is_marked(
    base: Path, load: Load, make_item: Callable[..., BenchmarkItem], settings: Settings
) -> None:
    model, tokenizer = load(base)
    config = settings()
    items = [make_item("medqa", n, "fever " * n, ("a", "b", "c")) for n in range(1, 260)]
    contexts = [make_prompt(item, prompt="med42", scoring="letters", system=config.system).context for item in items]
    lengths = [len(tokenizer(context)["input_ids"]) for context in contexts]
    # As many tokens as the model reads, and one more: the letter itself is never read.
    fitting, longer = (items[lengths.index(n)] for n in (256, 257))
    fits, cut = score_items([fitting, longer], model, tokenizer, config)
    assert (fits.truncated, cut.truncated) == (False, True)
    question = make_prompt(longer, prompt="med42", scoring="letters", system=config.system)
    pairs = [as_trained(tokenizer, question.context, answer) for answer in question.answers]
    np.testing.assert_allclose(
        cut.loglikelihoods, [loglikelihood(model, *pair, max_tokens=256) for pair in pairs], atol=1e-4
    )


def test_an_answer_too_long_for_the_model_is_an_error(
    base: Path, load: Load, make_item: Callable[..., BenchmarkItem], settings: Settings
) -> None:
    item = make_item("medqa", 1, "Which?", ("fever " * 300, "b"))
    with pytest.raises(DataError, match="tokens long; the model takes 1 to 256"):
        score_items([item], *load(base), settings(scoring="texts"))


def test_a_model_whose_numbers_are_broken_is_an_error_and_not_a_score(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings
) -> None:
    model, tokenizer = load(base)
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(DataError, match=r"are \[nan"):
        score_items(items, model, tokenizer, settings())


def test_lm_evals_own_bars_and_lines_stay_out_of_the_way(
    base: Path, load: Load, items: list[BenchmarkItem], settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = load(base)
    capfd.readouterr()
    score_items(items, model, tokenizer, settings())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scored_by", ["SharedPromptScorer.score", "ScoringModel._scored_by_lm_eval"])
def test_a_run_that_was_killed_goes_on_behind_what_it_had_answered_with_the_same_bits(
    base: Path,
    load: Load,
    items: list[BenchmarkItem],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scored_by: str,
) -> None:
    model, tokenizer = load(base)
    config, share = settings(scoring="texts"), Share(1, 2)
    monkeypatch.setattr(harness, "can_share_prompts", lambda _: scored_by.startswith("Shared"))
    monkeypatch.setattr(ScoringModel, "_agree", lambda *_: True)
    undisturbed = answer_share(items, model, tokenizer, config, share)
    of_class, method = scored_by.split(".")
    scorer = getattr(harness, of_class)
    score, scored = getattr(scorer, method), list[Any]()

    def start(most_batches: int) -> Any:
        scored.clear()

        def limited(self: Any, batch: Any) -> Any:
            if len(scored) == most_batches:
                raise KeyboardInterrupt
            scored.append(batch)
            return score(self, batch)

        monkeypatch.setattr(scorer, method, limited)
        (scratch := tmp_path / f"scratch{most_batches}").mkdir()
        journal = Journal(StageContext.in_folder(tmp_path, "answer_questions").checkpoints, scratch, minutes=0)
        return answer_share(items, model, tokenizer, config, share, journal)

    with pytest.raises(KeyboardInterrupt):
        start(1)
    assert start(99) == undisturbed
    assert len(scored) == 1, "of the two batches of this share"
