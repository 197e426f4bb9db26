"""What a cluster's rules, and two engines, ask of the Dockerfile."""

import json
import re

import pytest

from components.images import RUNTIMES
from images.build import BASE, REPOSITORY
from images.lock import PYPI_FLAVOR, layers_of
from med42lib.core.environment import THREADS_VARIABLE
from med42lib.engine.runner import GIT_VARIABLE
from med42lib.selfcheck import RUNTIME_VARIABLE
from med42lib.store.scratch import SCRATCH_VARIABLE
from med42lib.tracking.address import HOME_VARIABLE

TEXT = (REPOSITORY / "images" / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line.partition(" ")[::2]
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line
]
LAST_STAGE = INSTRUCTIONS[max(i for i, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]
STAGES = re.findall(r"^FROM \S+ AS (\w+)$", TEXT, flags=re.MULTILINE)


def given(instruction: str) -> list[str]:
    return [value for name, value in LAST_STAGE if name == instruction]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for text in given("ENV") for pair in text.split())


def test_what_a_component_asks_for_is_what_is_run() -> None:
    """An entry point would stand before the command in Docker, and be replaced by it on Kubernetes."""
    assert "ENTRYPOINT" not in {name for name, _ in INSTRUCTIONS}
    assert json.loads(given("CMD")[0]) == ["med42", "--help"]


def test_the_user_is_a_number_that_is_not_root_and_its_group_is_0() -> None:
    """Kubernetes' runAsNonRoot takes no names; OpenShift's random users have group 0."""
    [user] = given("USER")
    assert re.fullmatch(r"[1-9]\d*:0", user)
    assert f"chown {user} /scratch" in TEXT


def test_all_that_is_written_goes_to_the_one_writable_volume() -> None:
    places = {name: value for name, value in environment().items() if value.startswith("/") and name != "PATH"}
    assert {"HOME", "TMPDIR", "HF_HOME", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "MPLCONFIGDIR"} <= places.keys()
    assert {HOME_VARIABLE, SCRATCH_VARIABLE} <= places.keys()
    assert {value.split("/")[1] for value in places.values()} == {"scratch"}
    assert given("WORKDIR") == ["/scratch"]


def test_the_environment_says_which_runtime_it_is_and_not_how_many_threads() -> None:
    assert environment()[RUNTIME_VARIABLE] == "${RUNTIME}"
    assert environment()["USER"]
    assert not {THREADS_VARIABLE, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} & environment().keys()


def test_the_environment_says_which_commit_it_is_and_nothing_where_none_is_known() -> None:
    assert environment()[GIT_VARIABLE] == "${REVISION}"
    assert "REVISION=" in given("ARG")
    assert 'revision="${REVISION:-unknown}"' in given("LABEL")[0]


def test_a_secret_of_the_build_is_in_no_variable_argument_or_layer() -> None:
    names = {name for name, _ in INSTRUCTIONS}
    assert names <= {"ARG", "FROM", "RUN", "COPY", "ENV", "LABEL", "WORKDIR", "USER", "CMD"}
    copied = [value for name, value in INSTRUCTIONS if name == "COPY"]
    assert not any(word in text for text in copied for word in ("pip.conf", "ca.pem", ".netrc", "--from=tools"))
    assert all("PIP_" not in value and "TOKEN" not in value for name, value in INSTRUCTIONS if name in {"ARG", "ENV"})


def test_no_stage_needs_a_compiler() -> None:
    assert not re.search(r"apt-get|build-essential|\bgcc\b|\bg\+\+|\bmake\b", " ".join(v for _, v in INSTRUCTIONS))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_layers_of_a_runtime_are_stages(runtime: str) -> None:
    *parents, _own = layers_of(runtime)
    assert set(parents) <= set(STAGES)
    assert ("FROM", "${PARENT}") in INSTRUCTIONS


def test_the_defaults_are_those_of_the_script() -> None:
    arguments = [value for name, value in INSTRUCTIONS if name == "ARG"]
    assert f"BASE={BASE}" in arguments
    assert {value for value in arguments if value.startswith("FLAVOR=")} == {f"FLAVOR={PYPI_FLAVOR}"}


def test_labels_say_what_it_is_and_where_it_comes_from() -> None:
    [text] = given("LABEL")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    assert labels.keys() == {"title", "version", "revision", "source", "licenses"}
    assert labels["licenses"] == "Apache-2.0"


def test_what_is_copied_is_let_through_and_nothing_else_is() -> None:
    first, *allowed, last = [line for line in ignored() if not line.startswith("#")]
    assert (first, last) == ("*", "**/__pycache__")
    copied = [
        source
        for name, value in INSTRUCTIONS
        if name == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    prefixes = {line.removeprefix("!") for line in allowed}
    assert {source for source in copied if not any(source.startswith(prefix) for prefix in prefixes)} == set()
    assert {prefix for prefix in prefixes if not any(source.startswith(prefix) for source in copied)} == set()


def ignored() -> list[str]:
    return (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
