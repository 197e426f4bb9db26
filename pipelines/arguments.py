"""From a run's specification to the pipeline's arguments."""

from __future__ import annotations

from med42lib.core.config import StageConfig
from med42lib.spec import RunSpec


def pipeline_arguments(spec: RunSpec) -> dict[str, str]:
    """Fill every parameter of the pipeline but `store`, which is where a run happens, not what it is."""
    configs: dict[str, StageConfig] = {
        "fetch_model": spec.fetch_model,
        "benchmarks": spec.benchmarks,
        "assemble": spec.assemble,
        "decontaminate": spec.decontaminate,
        "pack": spec.pack,
        **{f"train_{name}": settings for name, settings in spec.train.items()},
        "evaluate": spec.evaluate,
        "report": spec.report,
        "package_model": spec.package_model,
        "register": spec.register_,
    }
    addresses: dict[str, str] = spec.inputs.model_dump()
    return addresses | {f"{name}_config": config.canonical_json() for name, config in configs.items()}
