import errno
import importlib
import json
import logging
import os
import pickle
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from med42lib.core.config import SPEED_ONLY, StageConfig
from med42lib.core.errors import ConfigError, DataError, EnvironmentProblem, NoSpaceError, StoreUnavailable
from med42lib.engine.context import StageContext
from med42lib.engine.runner import Request, Result, run_stage
from med42lib.engine.stage import Stage
from med42lib.store import manifest
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Sources, Target
from med42lib.store.backends import local
from med42lib.store.backends.local import LocalStore
from med42lib.store.identity import HASHES_FOLDER, HashCache
from med42lib.store.manifest import COMMIT, Manifest, describe_folder


class DoubleConfig(StageConfig):
    factor: int
    """What each number is multiplied by."""


calls: list[int] = []


def double(config: DoubleConfig, *, numbers: Source, products: Target, log: Target) -> None:
    calls.append(config.factor)
    values = [int(line) * config.factor for line in numbers.path("n.txt").read_text().split()]
    products.path("out.txt").write_text("\n".join(map(str, values)))
    products.rows = len(values)
    products.metric("count", len(values))
    log.path("log.txt").write_text("done")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Put a stage function where the catalogue would find it."""
    calls.clear()

    def put(function: Callable[..., None] = double, *, reuse: bool = True) -> Stage:
        package = types.ModuleType("fake_stage")
        (tmp_path / "code").mkdir(exist_ok=True)
        for name in ("__init__", "stage", "config"):
            (tmp_path / f"code/{name}.py").write_text("")
        package.__file__ = str(tmp_path / "code/__init__.py")
        stage_module, config_module = types.ModuleType("fake_stage.stage"), types.ModuleType("fake_stage.config")
        stage_module.double = function  # type: ignore[attr-defined]
        config_module.DoubleConfig = DoubleConfig  # type: ignore[attr-defined]
        for name, module in {"": package, ".stage": stage_module, ".config": config_module}.items():
            monkeypatch.setitem(sys.modules, f"fake_stage{name}", module)
        return Stage("double", "fake_stage", "DoubleConfig", reuse=reuse, runtime="base")

    return put


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., Request]:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/n.txt").write_text("1 2 3")

    def make(**config: object) -> Request:
        return Request(config or {"factor": 2}, str(tmp_path / "store"), {"numbers": str(tmp_path / "in")})

    return make


def output(result: Result, target: str = "products") -> Path:
    return Path(result.targets[target])


def test_a_stage_writes_every_target_with_a_manifest(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    result = run_stage(install(), request_for())
    assert output(result).joinpath("out.txt").read_text() == "2\n4\n6"
    manifest = Manifest.from_json((output(result) / "manifest.json").read_text(), where="")
    assert (manifest.stage, manifest.target, manifest.rows) == ("double", "products", 3)
    assert manifest.config == {"factor": 2}
    assert [entry.path for entry in manifest.files] == ["metrics.jsonl", "out.txt"]
    assert manifest.inputs["numbers"].address == request_for().sources["numbers"]
    assert manifest.versions["python"].startswith("3.")
    assert output(result, "log").joinpath("log.txt").exists()


@pytest.mark.parametrize(("commit", "recorded"), [("c0ffee", "c0ffee"), ("", None)])
def test_the_commit_of_the_image_that_did_the_work_is_recorded(
    commit: str,
    recorded: str | None,
    install: Callable[..., Stage],
    request_for: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MED42_GIT_SHA", commit)
    first = run_stage(install(), request_for())
    manifest = Manifest.from_json((output(first) / "manifest.json").read_text(), where="")
    assert manifest.versions.get(COMMIT) == recorded
    monkeypatch.setenv("MED42_GIT_SHA", "another")
    assert run_stage(install(), request_for()).reused


def test_a_second_run_reuses_the_first_without_calling_the_stage(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    first, second = (run_stage(install(), request_for()) for _ in range(2))
    assert (first.reused, second.reused) == (False, True)
    assert first.targets == second.targets


def test_the_address_does_not_enter_the_name(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    first = run_stage(install(), request_for())
    (tmp_path / "in").rename(tmp_path / "moved")
    moved = Request({"factor": 2}, str(tmp_path / "store2"), {"numbers": str(tmp_path / "moved")})
    second = run_stage(install(), moved)
    assert output(second).parents[1].name == output(first).parents[1].name


def test_changed_settings_or_inputs_run_again(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    stage = install()
    for request in (request_for(), request_for(factor=3)):
        assert not run_stage(stage, request).reused
    (tmp_path / "in/n.txt").write_text("4")
    assert not run_stage(stage, request_for()).reused
    assert calls == [2, 3, 2]


def test_an_output_without_its_manifest_is_made_again(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    first = run_stage(install(), request_for())
    (output(first) / "manifest.json").unlink()
    (output(first) / "out.txt").write_text("half")
    again = run_stage(install(), request_for())
    assert not again.reused
    assert (output(again) / "out.txt").read_text() == "2\n4\n6"


def test_a_stage_whose_work_lies_elsewhere_runs_each_time_and_speaks_of_no_other_run(
    install: Callable[..., Stage], request_for: Callable[..., Request], lines: pytest.LogCaptureFixture
) -> None:
    stage = install(reuse=False)
    assert not any(run_stage(stage, request_for()).reused for _ in range(2))
    assert calls == [2, 2]
    assert [message.split()[0] for message in lines.messages] == ["finished", "finished"]


def test_a_failure_publishes_nothing_and_leaves_no_scratch(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    def fails(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        products.path("half").write_text("x")
        raise DataError("broken row")

    with pytest.raises(DataError, match="broken row"):
        run_stage(install(fails), request_for())
    assert [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_target_left_empty_is_our_mistake_and_is_named(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    def forgets(config: DoubleConfig, *, numbers: Source, products: Target, log: Target) -> None:
        products.path("x").write_text("x")

    with pytest.raises(AssertionError, match="double returned without writing log"):
        run_stage(install(forgets), request_for())


@pytest.mark.parametrize("message", ["[Errno 28] No space left on device", "I/O error: os error 28"])
def test_a_full_disk_is_named_whichever_library_met_it(
    install: Callable[..., Stage], request_for: Callable[..., Request], message: str
) -> None:
    def fills(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        raise RuntimeError(message)

    with pytest.raises(NoSpaceError, match="finished stages are kept"):
        run_stage(install(fills), request_for())


def test_a_disk_that_fills_up_around_a_stage_is_named_too(
    install: Callable[..., Stage], request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Manifest) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Manifest, "to_json", full)
    with pytest.raises(NoSpaceError, match="finished stages are kept"):
        run_stage(install(), request_for())


def test_what_was_made_of_inputs_that_changed_meanwhile_gets_no_name(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    def slow(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        products.path("out.txt").write_text(numbers.path("n.txt").read_text())
        time.sleep(0.02)
        (tmp_path / "in/n.txt").write_text("4 5 6")

    with pytest.raises(DataError, match=r"n\.txt changed while it was read; run again"):
        run_stage(install(slow), request_for())
    assert not list((tmp_path / "store").rglob("sealed-*"))


def test_what_was_read_of_inputs_is_kept_where_the_connection_breaks(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for()
    (tmp_path / "in/o.txt").write_text("4")
    blocks = LocalStore.blocks

    def broken_off(self: LocalStore, name: str) -> Iterator[bytes]:
        if name == "o.txt":
            raise StoreUnavailable("the connection broke")
        yield from blocks(self, name)

    monkeypatch.setattr(local, "SECONDS_UNTIL_SETTLED", -1.0)
    monkeypatch.setattr(manifest, "_FILES_AT_ONCE", 1)
    monkeypatch.setattr(LocalStore, "blocks", broken_off)
    with pytest.raises(StoreUnavailable):
        run_stage(install(), request)
    [kept] = (tmp_path / "store" / HASHES_FOLDER).iterdir()
    assert list(json.loads(kept.read_text())) == ["n.txt"]


@pytest.mark.parametrize("damaged", [False, True])
def test_what_a_stage_linked_is_read_again_only_if_it_is_another(
    install: Callable[..., Stage],
    request_for: Callable[..., Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damaged: bool,
) -> None:
    def links(config: DoubleConfig, *, numbers: Source, products: Target, log: Target) -> None:
        os.link(numbers.path("out.txt"), products.path("linked.txt"))
        if damaged:
            products.path("linked.txt").write_text("9\n9\n9")
        log.path("log.txt").write_text("done")

    def counted(store: LocalStore, name: str) -> Iterator[bytes]:
        read.append(name)
        return blocks(store, name)

    monkeypatch.setattr(local, "SECONDS_UNTIL_SETTLED", -1.0)
    request = request_for()
    made = run_stage(install(), request).targets["products"]
    run_stage(install(links), replace(request, sources={"numbers": made}))
    read, blocks = list[str](), LocalStore.blocks
    monkeypatch.setattr(LocalStore, "blocks", counted)
    source = Source(made, hashes=HashCache(open_store(request.store)))
    with pytest.raises(DataError, match="differs from its manifest") if damaged else nullcontext():
        source.path("out.txt")
    assert read == (["out.txt"] if damaged else [])


def test_a_missing_library_is_named_with_the_extra_that_has_it(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    def imports(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        importlib.import_module("made_up_library.inner")

    with pytest.raises(EnvironmentProblem, match=r"made_up_library is not .* pip install .* '\.\[base\]'"):
        run_stage(install(imports), request_for())


def test_a_missing_module_of_ours_is_a_bug_of_ours(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    def imports(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        importlib.import_module("med42lib.made_up")

    with pytest.raises(ModuleNotFoundError, match="made_up"):
        run_stage(install(imports), request_for())


def test_wrong_settings_are_listed_before_anything_is_touched(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run_stage(install(), request_for(factr=2))
    assert [problem.where for problem in caught.value.problems] == ["factor", "factr"]
    assert not (tmp_path / "store").exists()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="med42"):
        yield caplog


def test_one_line_says_whether_it_worked_or_was_reused(
    install: Callable[..., Stage], request_for: Callable[..., Request], lines: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        run_stage(install(), request_for())
    assert [message.split()[0] for message in lines.messages] == ["finished", "reused"]


def test_the_manifest_lists_every_other_file_of_the_output(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    result = run_stage(install(), request_for())
    listed = json.loads((output(result) / "manifest.json").read_text())["files"]
    present = {p.relative_to(output(result)).as_posix() for p in output(result).rglob("*") if p.is_file()}
    assert {entry["path"] for entry in listed} == present - {"manifest.json"}


def test_of_two_runs_that_make_the_same_at_once_both_get_what_the_first_finished(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    """Each writes something of its own, as times in metrics are: the second finishes within the first's call."""
    results: list[Result] = []

    def overtaken(config: DoubleConfig, *, numbers: Source, products: Target, log: Target) -> None:
        calls.append(config.factor)
        if len(calls) == 1:
            results.append(run_stage(stage, request))
        for target in (products, log):
            target.path("out").write_text(f"attempt {len(results)}")

    stage, request = install(overtaken), request_for()
    results.append(run_stage(stage, request))
    first, second = results
    assert first.targets == second.targets
    assert [Source(address).path("out").read_text() for address in second.targets.values()] == ["attempt 0"] * 2
    [attempt, seal] = sorted(path.name for path in output(first).parents[1].iterdir())
    assert (attempt, seal) == (output(first).parent.name, "sealed-1.json"), "the other's files are gone"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_modes_of_the_umask_whatever_a_library_gave_them(
    install: Callable[..., Stage], request_for: Callable[..., Request], umask: int, mode: int
) -> None:
    def writes_privately(config: DoubleConfig, *, numbers: Source, products: Target) -> None:
        products.path("weights").write_text("w")
        products.path("weights").chmod(0o600)

    before = os.umask(umask)
    try:
        weights = output(run_stage(install(writes_privately), request_for())) / "weights"
    finally:
        os.umask(before)
    assert weights.stat().st_mode & 0o777 == mode
    assert (weights.parent / "manifest.json").stat().st_mode & 0o777 == mode


def test_a_stage_that_asks_for_its_context_may_have_others_put_files_of_its_output(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    seen: list[StageContext] = []

    def spread(config: DoubleConfig, *, numbers: Source, products: Target, log: Target, context: StageContext) -> None:
        seen.append(context)
        products.path("here").write_text("put by the runner")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "there").write_text("put by a worker")
        entries = describe_folder(elsewhere)
        pickle.loads(pickle.dumps(context.upload)).put_files("products", elsewhere, entries)
        products.received(entries)
        log.path("log.txt").write_text("done")

    stage = install(spread)
    assert (stage.contexts, stage.sources, stage.targets) == (("context",), ("numbers",), ("products", "log"))
    result = run_stage(stage, request_for())
    products = Source(result.targets["products"])
    assert [entry.path for entry in products.files] == ["here", "there"]
    assert products.path("there").read_text() == "put by a worker"
    assert result.targets["products"] == f"{seen[0].upload.address}/products"
    assert result.targets["products"].split("/")[-3] == seen[0].key


@pytest.mark.parametrize("reuse", [True, False])
def test_who_fails_as_another_run_has_finished_the_same_takes_its_output(
    install: Callable[..., Stage], request_for: Callable[..., Request], reuse: bool
) -> None:
    """The first to finish removes the checkpoints that the other has to go back to."""
    results: list[Result] = []

    def overtaken(config: DoubleConfig, *, numbers: Source, products: Target, context: StageContext) -> None:
        if not results:
            context.checkpoints.seal(1, [], {})
            results.append(Result({}, reused=False))
            results[0] = run_stage(stage, request_for())
            if context.checkpoints.newest() is None:
                raise DataError("the best step's checkpoint is gone")
        products.path("out.txt").write_text("done")

    stage = install(overtaken, reuse=reuse)
    with nullcontext() if reuse else pytest.raises(DataError, match="is gone"):
        results.append(run_stage(stage, request_for()))
    assert len({result.targets["products"] for result in results}) == 1


def test_checkpoints_serve_every_attempt_at_a_key_and_go_when_its_output_is_sealed(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    def in_two_attempts(config: DoubleConfig, *, numbers: Source, products: Target, context: StageContext) -> None:
        done = context.checkpoints.newest()
        if done is None:
            products.path("half").write_text("of the work")
            entry = context.checkpoints.put(1, "half", products.path("half"))
            context.checkpoints.seal(1, [entry], {"done": 0.5})
            raise NoSpaceError("killed halfway")
        half = done.source(tmp_path / "fetched").path("half").read_text()
        products.path("whole").write_text(f"{half}, {done.state}")

    stage = install(in_two_attempts)
    with pytest.raises(NoSpaceError):
        run_stage(stage, request_for())
    result = run_stage(stage, request_for())
    assert (output(result) / "whole").read_text() == "of the work, {'done': 0.5}"
    assert not list(tmp_path.rglob("checkpoints"))


def test_a_stage_is_told_which_section_of_the_spec_its_settings_are(
    install: Callable[..., Stage], request_for: Callable[..., Request]
) -> None:
    seen: list[str] = []

    def told(config: DoubleConfig, *, numbers: Source, products: Target, context: StageContext) -> None:
        seen.append(context.section)
        products.path("out.txt").write_text("done")

    stage = install(told, reuse=False)
    for section in ("double.lora", ""):
        run_stage(stage, replace(request_for(), section=section))
    assert seen == ["double.lora", "double"]


def test_most_stages_get_no_context(install: Callable[..., Stage]) -> None:
    assert install().contexts == ()


def add(config: DoubleConfig, *, parts: Sources, products: Target) -> None:
    calls.append(config.factor)
    total = sum(int(part.path("n.txt").read_text()) for part in parts.values())
    products.path("out.txt").write_text(f"{','.join(parts)} {total}")


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, str]:
    for name, number in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "n.txt").write_text(str(number))
    return {name: str(tmp_path / name) for name in ("two", "one")}


def test_an_input_of_many_addresses_is_a_mapping_and_its_members_are_recorded(
    install: Callable[..., Stage], parts: dict[str, str], tmp_path: Path
) -> None:
    result = run_stage(install(add), Request({"factor": 1}, str(tmp_path / "store"), {"parts": parts}))
    assert output(result).joinpath("out.txt").read_text() == "one,two 3"
    manifest = Manifest.from_json((output(result) / "manifest.json").read_text(), where="")
    assert {edge: entry.address for edge, entry in manifest.inputs.items()} == {
        "parts.one": parts["one"],
        "parts.two": parts["two"],
    }


def test_names_of_members_count_and_their_order_does_not(
    install: Callable[..., Stage], parts: dict[str, str], tmp_path: Path
) -> None:
    def run(given: dict[str, str]) -> bool:
        return run_stage(install(add), Request({"factor": 1}, str(tmp_path / "store"), {"parts": given})).reused

    assert not run(parts)
    assert run(dict(reversed(parts.items())))
    assert not run({"one": parts["two"], "two": parts["one"]})
    assert not run({})


def test_a_members_name_leaves_no_folder(install: Callable[..., Stage], parts: dict[str, str], tmp_path: Path) -> None:
    given = {"../../../x": parts["one"]}
    with pytest.raises(DataError, match="parts"):
        run_stage(install(add), Request({"factor": 1}, str(tmp_path / "store"), {"parts": given}))


def test_an_input_that_only_spares_work_makes_nothing_again_and_is_recorded(
    install: Callable[..., Stage], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    def spared(config: DoubleConfig, *, numbers: Source, ready: Annotated[Sources, SPEED_ONLY], out: Target) -> None:
        calls.append(len(ready))
        out.path("out.txt").write_text(numbers.path("n.txt").read_text())

    stage = install(spared)
    (tmp_path / "ready").mkdir()
    (tmp_path / "ready/r.txt").write_text("0")
    request = request_for()
    helped = replace(request, sources={**request.sources, "ready": {"1": str(tmp_path / "ready")}})

    made = run_stage(stage, helped)

    assert run_stage(stage, request) == Result(made.targets, reused=True)
    assert calls == [1]
    manifest = Source(made.targets["out"]).manifest
    assert manifest is not None
    assert set(manifest.inputs) == {"numbers", "ready.1"}
