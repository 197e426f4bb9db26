"""MLflow's REST API, asked as its own client asks: by the same library, with the same credentials and certificates.

So what a server answers here, it answers there. The library also reads a user in the address, a netrc file,
`REQUESTS_CA_BUNDLE` and the proxies' variables, and follows a server that leads on to https with the credentials.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from med42lib.core.authorities import TRACKING_AUTHORITY_VARIABLE

if TYPE_CHECKING:
    from requests import Response

_API = "/api/2.0/mlflow/"
_HEADER = "Authorization"
_TRUE = ("true", "1")
_OTHER_LOG_INS = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4")
_FILE_OF_LOG_INS = "~/.mlflow/credentials"


def ask(method: str, address: str, call: str, *, timeout: float | tuple[float, float], **content: Any) -> Response:
    """Make one call, and give the answer, whatever it is.

    Args:
        method: `GET` or `POST`.
        address: The server's.
        call: Such as `runs/get`.
        timeout: Seconds until it is connected, and until it answers, or one number for both.
        content: `params` or `json`.

    Raises:
        OSError: If there is no answer (`requests.RequestException`), or a certificate's file is not there.
    """
    import requests

    return requests.request(
        method,
        f"{address}{_API}{call}",
        headers=_login(),
        timeout=timeout,
        **_certificates(),
        **content,
    )


def logs_in_otherwise() -> bool:
    """Say whether MLflow's own client may have another way to log in, which only it can try: a plug-in, or its file."""
    return any(map(os.environ.get, _OTHER_LOG_INS)) or Path(_FILE_OF_LOG_INS).expanduser().exists()


def _login() -> dict[str, str]:
    """Take the first of what the environment has: a user with a password, or a token."""
    pair = [os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD")]
    if all(pair):
        return {_HEADER: f"Basic {base64.b64encode(':'.join(pair).encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {_HEADER: f"Bearer {token}"} if token else {}


def _certificates() -> dict[str, Any]:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        return {"verify": False}
    given = {
        "verify": os.environ.get(TRACKING_AUTHORITY_VARIABLE),
        "cert": os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    }
    return {name: path for name, path in given.items() if path}
