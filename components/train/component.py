"""Kubeflow component of the stage `train`.

GPUs, tolerations, node selectors and affinity that a person sets on its task are for the training's own pods, which the
launcher makes. So Kubeflow hands them over in `task_config` instead of giving them to the pod that launches; variables
and volumes it gives to both.
"""

from kfp import dsl

from components.common import stage_container


@dsl.container_component
def train(
    settings: str,
    section: str,
    store: str,
    packed: str,
    model: str,
    task_config: dsl.TaskConfig,
    trained: dsl.OutputPath(str),
    curve: dsl.Output[dsl.HTML],
) -> dsl.ContainerSpec:
    """Fine-tune the model, fully or with LoRA."""
    return stage_container("train")


_FIELD = dsl.TaskConfigField
train.component_spec.task_config_passthroughs = [
    *map(dsl.TaskConfigPassthrough, (_FIELD.RESOURCES, _FIELD.KUBERNETES_TOLERATIONS)),
    *map(dsl.TaskConfigPassthrough, (_FIELD.KUBERNETES_NODE_SELECTOR, _FIELD.KUBERNETES_AFFINITY)),
    *(dsl.TaskConfigPassthrough(field, apply_to_task=True) for field in (_FIELD.ENV, _FIELD.KUBERNETES_VOLUMES)),
]
