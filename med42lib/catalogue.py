"""Every stage, by name. The order between them is the pipeline's business (`pipelines/med42.py`)."""

from med42lib.engine.stage import Stage

STAGES = {
    stage.name: stage
    for stage in (
        Stage("fetch_model", "med42lib.fetch_model", "FetchModelConfig", libraries=("gguf",)),
        Stage("benchmarks", "med42lib.benchmarks", "BenchmarksConfig", loads=("med42lib.benchmarks.families",)),
        Stage("assemble", "med42lib.assemble", "AssembleConfig", loads=("med42lib.assemble.sources",)),
        Stage("decontaminate", "med42lib.decontaminate", "DecontaminateConfig"),
        Stage("pack", "med42lib.pack", "PackConfig"),
        Stage("train", "med42lib.train", "TrainConfig", loads=("med42lib.train.worker",)),
        Stage("evaluate", "med42lib.evaluate", "EvaluateConfig"),
        Stage("report", "med42lib.report", "ReportConfig", data=("templates/*.j2", "templates/*.css")),
        Stage("package_model", "med42lib.package_model", "PackageModelConfig"),
        Stage("register", "med42lib.register", "RegisterConfig", reuse=False),
    )
}
