"""The run, top to bottom: the only definition of the order of the stages.

Each stage's settings arrive as one JSON text, because Kubeflow turns whole numbers inside structures into
floats. Everything between stages is the address of an output in the store, or a mapping from models' names to such.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kfp import dsl

from components.assemble.component import assemble
from components.benchmarks.component import benchmarks
from components.decontaminate.component import decontaminate
from components.evaluate.component import evaluate
from components.fetch_model.component import fetch_model
from components.pack.component import pack
from components.package_model.component import package_model
from components.register.component import register
from components.report.component import report
from components.train.component import train
from med42lib.formats.models import BASE


def _step(task: dsl.PipelineTask, name: str | None = None) -> dict[str, str]:
    """Take a task's outputs; a name tells tasks of one component apart in the user interface.

    Kubeflow's own caching is off: it cannot see that a data folder changed. The stages reuse by content.
    """
    task.set_caching_options(False)
    if name:
        task.set_display_name(name)
    outputs: dict[str, str] = task.outputs
    return outputs


def med42(models: Sequence[str]) -> Callable[..., Any]:
    """Build the pipeline that trains these models and compares them with the base; there may be none."""

    def run(
        store: str,
        training_data: str,
        benchmark_data: str,
        base_model: str,
        encoder: str,
        fetch_model_config: str,
        benchmarks_config: str,
        assemble_config: str,
        decontaminate_config: str,
        pack_config: str,
        evaluate_config: str,
        report_config: str,
        package_model_config: str,
        register_config: str,
        *train_configs: str,
    ) -> str:
        """Return the address of the report.

        Args:
            store: Where all outputs go: s3://bucket/prefix on a cluster.
            training_data: Folder of the publishers' training files.
            benchmark_data: Folder of the publishers' evaluation files.
            base_model: Folder of the base model's weights and tokenizer.
            encoder: SentenceTransformers model that decontamination embeds with.
            fetch_model_config: Settings as JSON.
            benchmarks_config: Settings as JSON.
            assemble_config: Settings as JSON.
            decontaminate_config: Settings as JSON.
            pack_config: Settings as JSON.
            evaluate_config: Settings as JSON.
            report_config: Settings as JSON.
            package_model_config: Settings as JSON.
            register_config: Settings as JSON.
            *train_configs: Settings of each model as JSON.
        """
        base = _step(fetch_model(config=fetch_model_config, store=store, weights=base_model))["model"]
        items = _step(benchmarks(config=benchmarks_config, store=store, data=benchmark_data))["items"]
        dataset = _step(assemble(config=assemble_config, store=store, data=training_data))["dataset"]

        decontaminated = _step(
            decontaminate(config=decontaminate_config, store=store, dataset=dataset, items=items, encoder=encoder)
        )
        packed = _step(pack(config=pack_config, store=store, dataset=decontaminated["training"], model=base))["packed"]

        trained = {
            name: _step(train(config=config, store=store, packed=packed, model=base), f"train {name}")["trained"]
            for name, config in zip(models, train_configs, strict=True)
        }
        scores = {
            name: _step(
                evaluate(config=evaluate_config, store=store, items=items, base=base, model=model), f"evaluate {name}"
            )["scores"]
            for name, model in {BASE: base, **trained}.items()
        }

        written = _step(
            report(
                config=report_config,
                store=store,
                dataset=dataset,
                items=items,
                contamination=decontaminated["contamination"],
                packed=packed,
                trained=trained,
                scores=scores,
            )
        )["report"]
        package = _step(package_model(config=package_model_config, store=store, base=base, trained=trained))["package"]
        _step(register(config=register_config, store=store, trained=trained, package=package, report=written))
        return written

    _name_parameters(run, [f"train_{name}_config" for name in models])
    pipeline: Callable[..., Any] = dsl.pipeline(
        run, name="med42", description="Fine-tune a medical language model and compare each model with the base."
    )
    return pipeline


def _name_parameters(function: Callable[..., str], names: Sequence[str]) -> None:
    """Give a function's variable arguments names, for Kubeflow, which asks for the signature and fills it in order."""
    signature = inspect.signature(function)
    *fixed, variable = signature.parameters.values()
    named = [variable.replace(name=name, kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    function.__signature__ = signature.replace(parameters=[*fixed, *named])  # type: ignore[attr-defined]
