"""The files of certificates that the environment names; of one that is not there a library says no name."""

import os
from pathlib import Path

from med42lib.core.errors import EnvironmentProblem

AUTHORITY_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Read for the store; for MLflow, and the store where the first is not set; for a hub."""

TRACKING_AUTHORITY_VARIABLE = "MLFLOW_TRACKING_SERVER_CERT_PATH"
"""Read for MLflow before those."""


def check_authorities() -> None:
    """Make sure that they are there.

    Raises:
        EnvironmentProblem: If one is not; all of them are named.
    """
    given = {name: os.environ.get(name) for name in (*AUTHORITY_VARIABLES, TRACKING_AUTHORITY_VARIABLE)}
    missing = [f"{name}={path}" for name, path in given.items() if path and not Path(path).exists()]
    if missing:
        raise EnvironmentProblem(
            f"certificates are not where the environment says: {', '.join(missing)}; correct it, or put the file there "
            "(on a cluster: into the ConfigMap med42-ca)"
        )
