"""What all components share: the command that runs a stage in a container, and its image."""

from kfp import dsl

from med42lib import __version__
from med42lib.catalogue import STAGES


def stage_container(stage: str) -> dsl.ContainerSpec:
    """Describe the container that runs a stage, in the image of its runtime; whose registry is the cluster's business.

    `{{$}}`, the whole executor input, is the only placeholder: every other one differs between the SDK, the
    backend and local runs.
    """
    return dsl.ContainerSpec(
        image=f"med42/{STAGES[stage].runtime}:{__version__}",
        command=["python", "-m", "med42lib", "stage", stage],
        args=["--executor-input", "{{$}}"],
    )
