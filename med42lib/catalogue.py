"""Every stage, by name. The order between them is the pipeline's business (`pipelines/med42.py`)."""

from med42lib.engine.stage import Stage

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
        Stage("assemble", "med42lib.assemble", "AssembleConfig", loads=("med42lib.assemble.sources",), runtime="base"),
        Stage("decontaminate", "med42lib.decontaminate", "DecontaminateConfig", runtime="embed"),
        Stage("pack", "med42lib.pack", "PackConfig", runtime="train"),
        Stage("train", "med42lib.train", "TrainConfig", loads=("med42lib.train.worker",), runtime="train"),
        Stage("evaluate", "med42lib.evaluate", "EvaluateConfig", runtime="eval"),
        Stage(
            "report",
            "med42lib.report",
            "ReportConfig",
            data=("pages/templates/*.j2", "pages/templates/*.css"),
            runtime="base",
        ),
        Stage("package_model", "med42lib.package_model", "PackageModelConfig", runtime="base"),
        Stage("register", "med42lib.register", "RegisterConfig", reuse=False, runtime="tracking"),
    )
}
