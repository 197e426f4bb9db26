"""What all components share: the command that runs in a container, and its image."""

from kfp import dsl

from components.images import image_of
from med42lib.catalogue import COMMANDS, STAGES
from med42lib.engine.runtime import Runtime


def stage_container(stage: str) -> dsl.ContainerSpec:
    """Describe the container that runs a stage, in the image of its runtime."""
    return _container(STAGES[stage].runtime, ["stage", stage], ["--executor-input", "{{$}}"])


def command_container(*command: str, args: list[str]) -> dsl.ContainerSpec:
    """Describe the container that runs another command of `med42`."""
    return _container(COMMANDS, list(command), args)


def _container(runtime: Runtime, command: list[str], args: list[str]) -> dsl.ContainerSpec:
    """Describe a container.

    `{{$}}`, the whole executor input, is the only placeholder: every other one differs between the SDK, the backend and
    local runs.
    """
    return dsl.ContainerSpec(image=image_of(runtime), command=["python", "-m", "med42lib", *command], args=args)
