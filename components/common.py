"""What all components share: the command that runs a stage in a container, and the images."""

from kfp import dsl

# Which runtime a stage needs. The names are those that images/ builds; a cluster's registry is its own business.
RUNTIME_IMAGES = {
    "data": "med42/data:0.1.0",
    "train": "med42/train:0.1.0",
    "eval": "med42/eval:0.1.0",
    "report": "med42/report:0.1.0",
    "register": "med42/register:0.1.0",
}


def stage_container(stage: str, *, runtime: str) -> dsl.ContainerSpec:
    """Describe the container that runs a stage.

    `{{$}}`, the whole executor input, is the only placeholder: every other one differs between the SDK, the
    backend and local runs.
    """
    return dsl.ContainerSpec(
        image=RUNTIME_IMAGES[runtime],
        command=["python", "-m", "med42lib", "stage", stage],
        args=["--executor-input", "{{$}}"],
    )
