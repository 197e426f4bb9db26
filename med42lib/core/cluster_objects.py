"""What a platform puts into a namespace, by the names that `k8s/base` and its README give it."""

SETTINGS_MAP, DRIVER_MAP, JOB_TEMPLATE_MAP = "med42-settings", "med42-driver", "med42-job-template"
AUTHORITIES_MAP = "med42-ca"
"""Certificates of a company's authorities, if pods are to trust any; a file for the settings to name."""

FOR_STORE, FOR_TRACKING, FOR_HUB = "med42-s3", "med42-mlflow", "med42-hf"
"""Names of the Secrets for the store, MLflow and the hub."""

_KEYS = {
    FOR_STORE: "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN",
    FOR_TRACKING: "MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_TOKEN",
    FOR_HUB: "HF_TOKEN",
}
SECRET_KEYS = {name: tuple(keys.split()) for name, keys in _KEYS.items()}  # one by one they would be redacted in a log
"""Keys of each Secret, which are the names of variables; MLflow's are a user with a password, or a token."""

TEMPORARY_KEYS = frozenset(["AWS_SESSION_TOKEN"])
"""Those that credentials have only if they end some day."""

RUN_VARIABLE = "MED42_RUN"
"""Id of the run that a training's job is part of."""

TASK_CONFIG_VARIABLE = "MED42_TASK_CONFIG"
"""What a person set on the task of a training (GPUs, tolerations), for the launcher to give to the training's pods."""
