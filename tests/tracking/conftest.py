from tests.register.conftest import (
    database,
    empty_database,
    finished_run,
    mlflow_home,
    mlflow_server,
    real_models,
    text_models,
)

__all__ = [
    "database",
    "empty_database",
    "finished_run",
    "mlflow_home",
    "mlflow_server",
    "real_models",
    "text_models",
]
