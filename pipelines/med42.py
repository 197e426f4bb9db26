"""The run, top to bottom: the only definition of the order of the stages.

The first task checks everything and puts the settings into the store; the others read their section there. What goes
from task to task is the address of an output in the store, or a mapping from models' names to such. After the last
task, and after one that failed or was terminated, `stop` ends the trainings that are still there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import dsl

from components.answer_questions.component import answer_questions
from components.assemble.component import assemble
from components.benchmarks.component import benchmarks
from components.check.component import check
from components.decontaminate.component import decontaminate
from components.embed_questions.component import embed_questions
from components.evaluate.component import evaluate
from components.fetch_model.component import fetch_model
from components.pack.component import pack
from components.package_model.component import package_model
from components.pods import PODS, Pod, as_pod, run_seconds, scoring_memory, task_config
from components.register.component import register
from components.report.component import report
from components.stop.component import stop
from components.train.component import train
from med42lib.formats.models import BASE
from med42lib.formats.shards import shard_names

DESCRIPTION = """\
Fine-tune a medical language model, and compare each model with the base.

base_model, benchmark_data, encoder, training_data: where the inputs are: s3://bucket/prefix or package:name/path; \
base_model also hub:owner/name@revision.
spec: all settings, as in pipelines/specs/*.yaml but without `inputs`. The models of `train` are those that this \
pipeline was compiled for: {models}; {shards}.
store: s3://bucket/prefix for all outputs. What is there already is not made again.

Credentials and addresses of servers come from the namespace's ConfigMaps and Secrets med42-*, never from here.
"""

UNSHARDED = {"decontaminate": 1, "evaluate": 1}
"""Numbers of shards, by the sections of the spec that say them."""


def _step(task: dsl.PipelineTask, step: str, pod: Pod, *of: str) -> dsl.PipelineTask:
    """Finish a task; `of` tells apart the tasks of one stage.

    Kubeflow's own caching is off: it cannot see that a data folder changed. The stages reuse by content.
    """
    task.set_caching_options(False)
    task.set_display_name(" ".join(word for word in (*step.split("_"), *of) if word))
    as_pod(task, step, pod)
    return task


def med42(
    models: Sequence[str], pods: Mapping[str, Pod] = PODS, *, shards: Mapping[str, int] = UNSHARDED
) -> Callable[..., Any]:
    """Build the pipeline that trains these models and compares them with the base; there may be none.

    Args:
        models: Their names.
        pods: What the pod of each step asks for on a cluster.
        shards: Tasks that work side by side before decontaminate, and before each model's evaluate; 1: those do all by
            themselves.
    """

    def run(
        base_model: str,
        benchmark_data: str,
        encoder: str,
        spec: dict,  # type: ignore[type-arg]
        store: str,
        training_data: str,
    ) -> None:
        with dsl.ExitHandler(_step(stop(), "stop", pods["stop"]), name="run"):
            checked = check(
                spec=spec,
                models=list(models),
                shards=dict(shards),
                train_hours=pods["train"].hours,
                train_task_config=task_config(pods["train"]),
                scoring_memory=scoring_memory(pods),
                store=store,
                training_data=training_data,
                benchmark_data=benchmark_data,
                base_model=base_model,
                encoder=encoder,
            )
            settings = _step(checked, "check", pods["check"]).outputs["settings"]

            def stage(component: Callable[..., dsl.PipelineTask], *of: str, part: str = "", **inputs: Any) -> Any:
                name = component.name.replace("-", "_")  # type: ignore[attr-defined]
                section = f"{name}.{part}" if part else name
                task = component(settings=settings, section=section, store=store, **inputs)
                return _step(task, name, pods[name], *of, part).outputs

            base = stage(fetch_model, weights=base_model)["model"]
            items = stage(benchmarks, data=benchmark_data)["items"]
            dataset = stage(assemble, data=training_data)["dataset"]

            asked = {"dataset": dataset, "items": items, "encoder": encoder}
            numbers = shard_names(shards["decontaminate"])
            embedded = {number: stage(embed_questions, part=number, **asked)["embedded"] for number in numbers}
            decontaminated = stage(decontaminate, **asked, embedded=embedded)
            packed = stage(pack, dataset=decontaminated["training"], model=base)["packed"]

            trained = {name: stage(train, part=name, packed=packed, model=base)["trained"] for name in models}

            def score(name: str, model: Any) -> Any:
                asked = {"items": items, "base": base, "model": model}
                numbers = shard_names(shards["evaluate"])
                answers = {number: stage(answer_questions, name, part=number, **asked)["answers"] for number in numbers}
                return stage(evaluate, name, **asked, answers=answers)["scores"]

            scores = {name: score(name, model) for name, model in {BASE: base, **trained}.items()}

            written = stage(
                report,
                dataset=dataset,
                items=items,
                contamination=decontaminated["contamination"],
                packed=packed,
                trained=trained,
                scores=scores,
            )["report"]
            package = stage(package_model, base=base, trained=trained)["package"]
            stage(register, trained=trained, package=package, report=written)

    pipeline: Callable[..., Any] = dsl.pipeline(
        run,
        name="med42",
        description=DESCRIPTION.format(
            models=", ".join(models) or "none",
            shards=" and ".join(f"`{section}.shards` is {number}" for section, number in shards.items()),
        ),
        pipeline_config=dsl.PipelineConfig(active_deadline_seconds=run_seconds(pods)),
    )
    return pipeline
