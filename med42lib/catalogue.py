"""Every stage, by name. The order between them is the pipeline's business (`pipelines/med42.py`)."""

from med42lib.engine.runtime import Runtime
from med42lib.engine.stage import Shown, Stage

STAGES = {
    stage.name: stage
    for stage in (
        # Of `eval`, since transformers says whether weights fit config.json, and reads GGUF files.
        Stage("fetch_model", "med42lib.fetch_model", "FetchModelConfig", libraries=("gguf",), runtime="eval"),
        Stage(
            "benchmarks",
            "med42lib.benchmarks",
            "BenchmarksConfig",
            loads=("med42lib.benchmarks.families",),
            runtime="base",
        ),
        Stage(
            "assemble",
            "med42lib.assemble",
            "AssembleConfig",
            loads=("med42lib.assemble.sources",),
            shown=(Shown("card", "markdown", "dataset", "README.md"),),
            runtime="base",
        ),
        # Not in every pipeline: shards of decontaminate's work.
        Stage(
            "embed_questions",
            "med42lib.decontaminate.embedding",
            "EmbedQuestionsConfig",
            in_parts=True,
            runtime="embed",
        ),
        Stage(
            "decontaminate",
            "med42lib.decontaminate",
            "DecontaminateConfig",
            shown=(Shown("overlap", "metrics", "contamination"),),
            runtime="embed",
        ),
        Stage("pack", "med42lib.pack", "PackConfig", runtime="train"),
        Stage(
            "train",
            "med42lib.train",
            "TrainConfig",
            loads=("med42lib.train.worker",),
            shown=(Shown("curve", "curve", "trained", "loss"),),
            live=True,
            in_parts=True,
            runtime="train",
        ),
        # Not in every pipeline: shards of evaluate's work.
        Stage(
            "answer_questions",
            "med42lib.evaluate.answering",
            "AnswerQuestionsConfig",
            in_parts=True,
            runtime="eval",
        ),
        Stage(
            "evaluate",
            "med42lib.evaluate",
            "EvaluateConfig",
            shown=(Shown("accuracy", "metrics", "scores", "accuracy/"),),
            runtime="eval",
        ),
        Stage(
            "report",
            "med42lib.report",
            "ReportConfig",
            data=("pages/templates/*.j2", "pages/templates/*.css", "pages/templates/*.js"),
            shown=(Shown("page", "html", "report", "report.html"),),
            runtime="base",
        ),
        Stage(
            "package_model",
            "med42lib.package_model",
            "PackageModelConfig",
            shown=(Shown("candidate", "model", "package", "package.json"),),
            runtime="base",
        ),
        Stage(
            "register",
            "med42lib.register",
            "RegisterConfig",
            reuse=False,
            shown=(Shown("version", "model", "registered", "registered.json"),),
            runtime="tracking",
        ),
    )
}

COMMANDS: Runtime = "base"
"""The runtime of tasks that are no stage: they check, or stop what is left, and have to start quickly."""
