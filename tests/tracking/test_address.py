import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from med42lib.core.errors import AccessError, TrackingError, TrackingUnavailable
from med42lib.tracking.address import (
    artifacts_address,
    check_tracking,
    quiet_mlflow,
    tracking_address,
    ui_command,
)
from tests.http_server import QuietHandler, serving
from tests.register.conftest import answering
from tests.s3_server import free_ports

S3 = "s3://bucket/runs"


def test_runs_are_kept_in_a_file_of_the_home_folder(mlflow_home: Path) -> None:
    assert tracking_address() == f"sqlite:///{mlflow_home}/mlflow.db"
    assert artifacts_address(tracking_address()) == f"{mlflow_home.as_uri()}/mlflow-artifacts"
    check_tracking("runs/store")


def test_without_a_home_folder_it_is_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MED42_HOME")
    monkeypatch.chdir(tmp_path)
    assert tracking_address() == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_in_a_pod_nothing_is_recorded_on_its_own_disk_unless_somebody_says_so(
    mlflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tracking(S3)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    check_tracking("runs/store")
    with pytest.raises(TrackingError, match=r"MLFLOW_TRACKING_URI is not set, .* goes with this pod; set it to"):
        check_tracking(S3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_home}/mlflow.db")
    check_tracking(S3)


def test_the_environment_names_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example/")
    assert tracking_address() == ui_command() == "https://mlflow.example"
    assert artifacts_address(tracking_address()) is None


def test_the_ui_command_can_be_typed(mlflow_home: Path) -> None:
    assert ui_command() == f"mlflow ui --workers 1 --backend-store-uri 'sqlite:///{mlflow_home}/mlflow.db'"


@pytest.mark.parametrize(
    "address",
    [
        "mlruns",
        "/tmp/mlruns",
        "file:///tmp/mlruns",
        "databricks",
        "databricks://profile",
        "azureml://westeurope.api.example/mlflow/v1.0",
        "arn:aws:sagemaker:eu:1:a/b",
    ],
)
def test_what_is_neither_a_server_nor_a_database_is_refused_with_what_is_supported(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    supported = r"\(http://, https://\) or .* \(sqlite, postgresql, mysql, mssql\)"
    with pytest.raises(TrackingError, match=f"MLFLOW_TRACKING_URI={address} is not supported: .*{supported}"):
        tracking_address()


@pytest.mark.parametrize("store", ["runs/store", "/data/runs", "file:///data/runs"])
def test_a_server_and_a_local_store_do_not_go_together(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    with pytest.raises(TrackingError, match="use --store s3://bucket/prefix") as caught:
        check_tracking(store)
    assert store in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_down_is_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_ports(1)[0]}")
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable, match=r"does not answer .*Connection refused"):
        check_tracking(S3)
    assert time.monotonic() - started < 5


def test_a_server_that_is_not_mlflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(404) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingError, match="is not an MLflow server"):
            check_tracking(S3)


def test_a_refused_host_name_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(403, b"Invalid Host header - possible DNS rebinding attack detected") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingError, match=f'--allowed-hosts "{address.removeprefix("http://")}"'):
            check_tracking(S3)


@pytest.mark.parametrize("code", [401, 403])
def test_credentials_that_a_server_rejects_are_found_before_anything_is_computed(
    code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    seen: list[str | None] = []
    with answering(code, seen=seen) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("http://", "http://user:secret@"))
        with pytest.raises(AccessError, match="rejected the credentials; set MLFLOW_TRACKING_TOKEN") as caught:
            check_tracking(S3)
        assert "secret" not in str(caught.value)
        assert seen == ["Basic dXNlcjpzZWNyZXQ="]
        monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "a-plug-in")  # which MLflow's client alone has
        check_tracking(S3)


@pytest.mark.parametrize("code", [500, 503])
def test_a_server_that_is_being_restarted_may_be_asked_again(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(code) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingUnavailable, match=rf"does not answer .*{code}"):
            check_tracking(S3)


@pytest.mark.parametrize("code", [400, 429])
def test_what_only_mlflows_own_client_can_tell_is_not_said_to_be_well(
    code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering(200) as well, answering(code) as odd:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", well)
        assert check_tracking(S3)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", odd)
        assert not check_tracking(S3)


def test_an_ingress_that_leads_on_to_another_address_of_its_host_lets_us_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ingress(QuietHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/"):
                self.send_response(308)
                self.send_header("Location", f"/mlflow{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.answer(200 if self.headers["Authorization"] == "Bearer planted-token" else 401)

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "planted-token")
    with serving(Ingress) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        check_tracking(S3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this machine, with its key and the authority that nobody knows."""
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("tls") / "all.pem"
    file.write_bytes(
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes()
    )
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH"])
def test_a_server_of_a_companys_authority_is_asked_as_well(
    variable: str, certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with answering(401, tls=tls) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingError, match=r"is not trusted \(.*; name the file of its authority in"):
            check_tracking(S3)
        monkeypatch.setenv(variable, str(certificate))
        with pytest.raises(AccessError, match="rejected the credentials"):
            check_tracking(S3)


def test_a_server_that_wants_a_certificate_of_ours_gets_it(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(certificate))
    with answering(200, tls=tls) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        check_tracking(S3)


def test_a_page_that_a_server_leads_on_to_gets_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    class Leading(QuietHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", page)
            self.end_headers()

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "planted-token")
    with answering(200, seen=seen) as page, serving(Leading) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        check_tracking(S3)
    assert seen == ["Bearer planted-token", None]


def test_a_file_that_is_no_database_is_left_alone(mlflow_home: Path) -> None:
    mlflow_home.mkdir()
    (mlflow_home / "mlflow.db").write_text("my notes")
    with pytest.raises(TrackingError, match=r"mlflow\.db is not a SQLite database"):
        check_tracking("runs/store")


def test_a_home_that_cannot_be_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(TrackingError, match="cannot be written; set MED42_HOME"):
        check_tracking("runs/store")


def test_what_the_user_set_for_mlflow_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    quiet_mlflow()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys, med42lib.register.stage, med42lib.tracking.address\n"
        "assert not {'mlflow', 'torch', 'transformers', 'numpy'} & sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
