"""The run, top to bottom: the only definition of the order of the stages.

Each stage's settings arrive as one JSON text, because Kubeflow turns whole numbers inside structures into
floats. Everything between stages is the address of an output in the store.
"""

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


def _step(task: dsl.PipelineTask, name: str | None = None) -> dict[str, str]:
    """Take a task's outputs; a name tells tasks of one component apart in the user interface.

    Kubeflow's own caching is off: it cannot see that a data folder changed. The stages reuse by content.
    """
    task.set_caching_options(False)
    if name:
        task.set_display_name(name)
    outputs: dict[str, str] = task.outputs
    return outputs


@dsl.pipeline(  # type: ignore[untyped-decorator]
    name="med42",
    description="Fine-tune a medical language model fully and with LoRA, and compare both with the base model.",
)
def med42(
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
    train_full_config: str,
    train_lora_config: str,
    evaluate_config: str,
    report_config: str,
    package_model_config: str,
    register_config: str,
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
        train_full_config: Settings as JSON.
        train_lora_config: Settings as JSON.
        evaluate_config: Settings as JSON.
        report_config: Settings as JSON.
        package_model_config: Settings as JSON.
        register_config: Settings as JSON.
    """
    base = _step(fetch_model(config=fetch_model_config, store=store, weights=base_model))["model"]
    items = _step(benchmarks(config=benchmarks_config, store=store, data=benchmark_data))["items"]
    dataset = _step(assemble(config=assemble_config, store=store, data=training_data))["dataset"]

    decontaminated = _step(
        decontaminate(config=decontaminate_config, store=store, dataset=dataset, items=items, encoder=encoder)
    )
    packed = _step(pack(config=pack_config, store=store, dataset=decontaminated["training"], model=base))["packed"]

    full = _step(train(config=train_full_config, store=store, packed=packed, model=base), "train full")["trained"]
    lora = _step(train(config=train_lora_config, store=store, packed=packed, model=base), "train LoRA")["trained"]

    scores = {
        name: _step(
            evaluate(config=evaluate_config, store=store, items=items, base=base, model=model), f"evaluate {name}"
        )["scores"]
        for name, model in (("base", base), ("full", full), ("LoRA", lora))
    }

    written = _step(
        report(
            config=report_config,
            store=store,
            dataset=dataset,
            items=items,
            contamination=decontaminated["contamination"],
            packed=packed,
            full=full,
            lora=lora,
            base_scores=scores["base"],
            full_scores=scores["full"],
            lora_scores=scores["LoRA"],
        )
    )["report"]
    package = _step(package_model(config=package_model_config, store=store, base=base, full=full, lora=lora))["package"]
    _step(register(config=register_config, store=store, full=full, package=package, report=written))
    return written
