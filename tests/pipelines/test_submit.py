import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from med42lib.core.errors import AccessError, ClusterUnavailable, ConfigError, EnvironmentProblem, RunFailedError
from med42lib.spec import load_spec
from pipelines import submit
from tests import http_server
from tests.conftest import REPOSITORY
from tests.http_server import QuietHandler
from tests.pipelines.kubeflow_double import KubeflowDouble, serving

DEMO = str(REPOSITORY / "pipelines/specs/demo.yaml")
TOKEN = "planted-token-of-kubeflow"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(submit.time, "sleep", lambda _seconds: None)
    monkeypatch.delenv(submit.TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv(submit.HOST_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def kubeflow() -> Iterator[KubeflowDouble]:
    with serving(KubeflowDouble()) as double:
        yield double


def submitted(*options: str, spec: str = DEMO) -> int:
    parser = ArgumentParser()
    submit.command.add_arguments(parser)
    return submit.command.run(parser.parse_args([spec, "--store=s3://bucket/runs", *options]))


def test_a_spec_becomes_a_run_of_the_pipeline_compiled_for_it_and_the_address_is_printed(
    kubeflow: KubeflowDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submitted(f"--host={kubeflow.address}/", "--run-name=nightly", "--set=pack.seed=7") == 0
    assert capsys.readouterr().out == f"{kubeflow.address}/#/runs/details/run-0\n"
    [run] = kubeflow.runs
    assert run["display_name"] == "nightly"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["store"] == "s3://bucket/runs"
    assert parameters["spec"]["pack"]["seed"] == 7
    assert parameters["base_model"] == load_spec(Path(DEMO)).inputs.base_model
    [experiment] = kubeflow.experiments
    assert (experiment["display_name"], run["experiment_id"]) == ("med42-demo", experiment["experiment_id"])


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ({"tag_name": "2.4.1"}, "2.4"),
        ({"apiServerTagName": "v1.8.5"}, "1.8"),
        ({"tag_name": "2.17.0"}, ""),
        ({"apiServerTagName": "2.20.0-rc.1"}, ""),
        ({"tag_name": "unknown"}, ""),
        ({"apiServerTagName": ""}, ""),
    ],
)
def test_a_server_that_is_older_than_those_that_are_supported_is_warned_of(
    kubeflow: KubeflowDouble, caplog: pytest.LogCaptureFixture, version: dict[str, str], warned: str
) -> None:
    kubeflow.version = version
    assert submitted(f"--host={kubeflow.address}") == 0
    told = [message for message in caplog.messages if "step 1 of k8s/README.md" in message]
    assert [message.startswith(f"this Kubeflow Pipelines is {warned};") for message in told] == (
        [True] if warned else []
    )


def test_a_second_run_goes_into_the_same_experiment_of_the_users_namespace(kubeflow: KubeflowDouble) -> None:
    kubeflow.multi_user = True
    for _ in range(2):
        assert submitted(f"--host={kubeflow.address}", "--namespace=team", "--experiment=ours") == 0
    [experiment] = kubeflow.experiments
    assert (experiment["display_name"], experiment["namespace"]) == ("ours", "team")
    assert [run["experiment_id"] for run in kubeflow.runs] == [experiment["experiment_id"]] * 2


def test_an_experiment_that_somebody_else_makes_meanwhile_is_the_runs(kubeflow: KubeflowDouble) -> None:
    kubeflow.made_meanwhile = True
    assert submitted(f"--host={kubeflow.address}", "--experiment=ours") == 0
    assert [run["experiment_id"] for run in kubeflow.runs] == ["experiment-of-another"]


def test_a_run_that_is_followed_tells_each_change_once_and_ends_well(
    kubeflow: KubeflowDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states = [
        ("PENDING", {}),
        ("RUNNING", {"root": "RUNNING", "check": "RUNNING", "check-driver": "SUCCEEDED"}),
        503,
        404,  # of a gateway whose server is away
        ("RUNNING", {"check": "SUCCEEDED", "train-2": "RUNNING"}),
        ("RUNNING", {"check": "SUCCEEDED", "train-2": "RUNNING"}),
        ("SUCCEEDED", {"check": "SUCCEEDED", "train-2": "SUCCEEDED"}),
    ]
    assert submitted(f"--host={kubeflow.address}", "--wait") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if re.fullmatch(r"[\w -]+: [a-z]+", line)]
    assert told == ["check: running", "check: succeeded", "train lora: running", "train lora: succeeded"]


@pytest.mark.parametrize(
    ("states", "tasks", "said"),
    [
        (["FAILED"], {"check": "FAILED", "pack": "SKIPPED"}, r"the run failed: check; .*#/runs/details/run-0"),
        (["CANCELING", "FAILED"], {"train-2": "FAILED"}, r"the run was terminated; .*#/runs/details/run-0"),
        (["CANCELED"], {}, "the run was terminated"),
    ],
)
def test_a_run_that_fails_or_is_ended_is_an_error(
    states: list[str], tasks: dict[str, str], said: str, kubeflow: KubeflowDouble
) -> None:
    kubeflow.states = [("RUNNING", {}), *((state, tasks) for state in states)]
    with pytest.raises(RunFailedError, match=said):
        submitted(f"--host={kubeflow.address}", "--wait")


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_is_away_for_too_long_is_an_error(
    kubeflow: KubeflowDouble, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    kubeflow.states = [status]
    monkeypatch.setattr(submit, "SECONDS_WITHOUT_ANSWER", -1.0)
    with pytest.raises(ClusterUnavailable, match=rf"\({status}\): the server is busy"):
        submitted(f"--host={kubeflow.address}", "--wait")


def test_a_token_comes_from_the_environment_or_a_file_and_is_shown_nowhere(
    kubeflow: KubeflowDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.token = TOKEN
    with pytest.raises(
        AccessError, match=f"set {submit.TOKEN_VARIABLE} .*create token .* --audience pipelines.kubeflow"
    ):
        submitted(f"--host={kubeflow.address}")
    monkeypatch.setenv(submit.TOKEN_VARIABLE, TOKEN)
    assert submitted(f"--host={kubeflow.address}", "--wait") == 0
    monkeypatch.setenv(submit.TOKEN_VARIABLE, "another")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert submitted(f"--host={kubeflow.address}", f"--token-file={tmp_path}/token") == 0
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err
    assert TOKEN not in str(kubeflow.runs)


def test_a_token_that_is_renewed_while_a_run_is_followed_is_read_anew(
    kubeflow: KubeflowDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"

    def renew(_seconds: float = 0.0) -> None:
        kubeflow.token = f"{TOKEN}-{kubeflow.looks}"
        file.write_text(f"{kubeflow.token}\n")

    renew()
    monkeypatch.setattr(submit.time, "sleep", renew)
    kubeflow.states = [("RUNNING", {}), ("RUNNING", {}), ("SUCCEEDED", {})]
    assert submitted(f"--host={kubeflow.address}", f"--token-file={file}", "--wait") == 0
    assert kubeflow.token == f"{TOKEN}-2"


def test_a_file_of_a_token_that_cannot_be_read_is_named(kubeflow: KubeflowDouble, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--token-file: .*none cannot be read: No such file"):
        submitted(f"--host={kubeflow.address}", f"--token-file={tmp_path}/none")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_asked_for_all_but_what_is_to_bypass_it(
    scheme: str, kubeflow: KubeflowDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", scheme + kubeflow.address.removeprefix("http://"))
    monkeypatch.setenv("no_proxy", "")
    assert submitted("--host=http://kubeflow.invalid", "--wait") == 0
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert submitted(f"--host={kubeflow.address}", "--wait") == 0
    assert len(kubeflow.runs) == 2


def test_nobody_at_the_address_is_one_message_at_once() -> None:
    with pytest.raises(ClusterUnavailable, match=r"does not answer at http://127\.0\.0\.1:9 .*port-forward"):
        submitted("--host=http://127.0.0.1:9")


class _Page(QuietHandler):
    def do_GET(self) -> None:
        self.answer(200, b"<html>log in</html>", "text/html")


def test_a_page_to_log_in_is_not_taken_for_the_server() -> None:
    with http_server.serving(_Page) as address, pytest.raises(EnvironmentProblem, match="perhaps a page to log in"):
        submitted(f"--host={address}")


def test_a_token_does_not_follow_a_gateway_that_leads_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(submit.TOKEN_VARIABLE, TOKEN)
    heard: list[str | None] = []

    class LogIn(_Page):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            super().do_GET()

    with http_server.serving(LogIn) as log_in:

        class Gateway(QuietHandler):
            def do_GET(self) -> None:
                heard.append(self.headers["Authorization"])
                self.send_response(302)
                self.send_header("Location", log_in.replace("127.0.0.1", "localhost"))
                self.end_headers()

        with http_server.serving(Gateway) as address, pytest.raises(EnvironmentProblem, match="perhaps a page to log"):
            submitted(f"--host={address}")
    assert heard == [f"Bearer {TOKEN}", None]


def test_a_gateway_that_leads_to_where_a_token_is_wanted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(submit.TOKEN_VARIABLE, TOKEN)

    class Ingress(QuietHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/pipeline"):
                return self.answer(401, b"{}")
            self.send_response(302)
            self.send_header("Location", f"/pipeline{self.path}")
            self.end_headers()

    with (
        http_server.serving(Ingress) as address,
        pytest.raises(EnvironmentProblem, match=r"leads to .*/pipeline/.*--host"),
    ):
        submitted(f"--host={address}")


@pytest.mark.parametrize("store", ["runs/demo", "package:med42lib/demo", f"hub:owner/name@{40 * '0'}"])
def test_what_no_cluster_reaches_is_refused_before_anybody_is_asked(store: str) -> None:
    with pytest.raises(ConfigError) as caught:
        submitted(f"--store={store}", "--set=inputs.training_data=data/raw")
    assert [problem.where for problem in caught.value.problems] == ["--store", "inputs.training_data", "--host"]
    assert caught.value.problems[2].what.endswith("http:// or https:// of Kubeflow Pipelines")


def test_a_file_of_an_authority_that_cannot_be_read_is_named_and_nobody_is_asked(
    kubeflow: KubeflowDouble, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("<html>not found</html>")
    for file, why in [("nofile", "No such file or directory"), ("page.html", "it holds no certificates")]:
        with pytest.raises(ConfigError, match=f"--ca: .*{file} cannot be read: {why}"):
            submitted(f"--host={kubeflow.address}", f"--ca={tmp_path}/{file}")
