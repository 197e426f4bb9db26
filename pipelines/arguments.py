"""From a run's specification to the pipeline's arguments."""

from __future__ import annotations

from typing import Any

from med42lib.core.errors import ConfigError, Problem
from med42lib.core.whole_numbers import whole_numbers
from med42lib.spec import RunSpec


def pipeline_arguments(spec: RunSpec) -> dict[str, Any]:
    """Fill every parameter of the pipeline but `store`, which is where a run happens, not what it is.

    Raises:
        ConfigError: If Kubeflow would not hand the spec over as it is.
    """
    # What is not set stays so: a setting that is written out may be one without effect, which is refused.
    values = spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    if RunSpec.model_validate(values) != spec:
        problem = Problem("null", "Kubeflow takes none inside a structure; write what it stands for, or leave it out")
        raise ConfigError("spec", [problem])
    addresses = values.pop("inputs")
    return {**addresses, "spec": whole_numbers(values, title="spec")}
