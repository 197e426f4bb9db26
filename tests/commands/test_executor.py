import json
from pathlib import Path

import pytest

from med42lib.commands.executor import Artifact, asked_outputs, load_json
from med42lib.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' + "[" * 100_000, "cannot be read"),
        ('{"a": ' + "1" * 5_000 + "}", "cannot be read"),
        ("x" * 10**6, "cannot be read"),
        ("[" + "1," * 10**6 + "1]", "is not an object"),
        ("@/nowhere/c.json", "cannot be read"),
        ("@/dev/null/x", "cannot be read"),
    ],
    ids=["depth", "digits", "length", "list", "no file", "no folder"],
)
def test_json_that_cannot_be_read_is_one_short_problem(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_json(text)
    assert len(str(caught.value)) < 600


def test_json_may_come_from_a_file_and_one_that_is_no_text_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"n": 2}')
    assert load_json(f"@{tmp_path}/c.json") == {"n": 2}
    (tmp_path / "c.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="cannot be read"):
        load_json(f"@{tmp_path}/c.json")


def test_every_declared_output_is_written_where_kubeflow_asks(tmp_path: Path) -> None:
    parameters = {name: {"outputFile": str(tmp_path / "deep" / name)} for name in ("training", "contamination")}
    artifacts = {"overlap": {"artifacts": [{"name": "overlap", "uri": "minio://bucket/x", "type": {}}]}}
    artifacts["executor-logs"] = {"artifacts": [{"name": "executor-logs", "uri": "minio://bucket/logs-0"}]}  # its own
    asked = asked_outputs(
        {"outputs": {"parameters": parameters, "artifacts": artifacts, "outputFile": str(tmp_path / "all/out.json")}},
        title="outputs of decontaminate",
        outputs=("training", "contamination"),
        artifacts=("overlap",),
    )
    addresses = {"training": "s3://t", "contamination": "s3://c"}
    asked.write(addresses, [Artifact("overlap", asked.artifacts["overlap"], {"pairs": 3.0})])
    assert (tmp_path / "deep/training").read_text() == "s3://t"
    written = json.loads((tmp_path / "all/out.json").read_text())
    assert written["parameterValues"] == addresses
    assert set(written["artifacts"]) == {"overlap"}
    [overlap] = written["artifacts"]["overlap"]["artifacts"]
    assert overlap == {"name": "overlap", "uri": "minio://bucket/x", "metadata": {"pairs": 3.0}}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/a/b", "/minio/bucket/a/b"),
        ("s3://bucket/a/b", "/s3/bucket/a/b"),
        ("gs://bucket/a/b", "/gcs/bucket/a/b"),
        ("/tmp/root/a/b", "/tmp/root/a/b"),
    ],
)
def test_an_artifacts_file_is_where_the_cluster_mounts_its_store(uri: str, path: str) -> None:
    assert Artifact("page", uri, {}).path == Path(path)
