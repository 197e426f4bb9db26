"""`register`: record the run in MLflow, and register the candidate under an alias, with a model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from med42lib import __version__
from med42lib.core.json_file import write_json
from med42lib.core.log import log
from med42lib.core.redaction import redact
from med42lib.engine.context import StageContext
from med42lib.formats.model_card import CARD_FILE
from med42lib.formats.report import OVERALL, accuracy_metric
from med42lib.register.card import ModelCard, description, model_card
from med42lib.register.config import RegisterConfig
from med42lib.register.gate import gain_points, objections
from med42lib.register.run import FinishedRun
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Sources, Target
from med42lib.store.base import S3_SCHEME
from med42lib.store.manifest import COMMIT
from med42lib.tracking.address import check_tracking, quiet_mlflow, sqlite_lock, tracking_address, ui_command
from med42lib.tracking.names import CANDIDATE, GATE_TAG, NOTE_TAG, PASSED, RUN_TAG, WEIGHTS_TAG, flatten, run_name
from med42lib.tracking.replay import RunRecord, stage_records

if TYPE_CHECKING:
    from med42lib.tracking.runs import Recorder
    from med42lib.tracking.versions import Versions

REGISTERED_FILE = "registered.json"
_TAGGED_INPUTS = ("dataset", "items", "contamination", "packed")


def register(
    config: RegisterConfig,
    *,
    trained: Sources,
    package: Source,
    report: Source,
    registered: Target,
    context: StageContext,
) -> None:
    """Record the run in MLflow, register the candidate where it lies, and move the alias if the gate allows it.

    All of it is looked up in MLflow and made only where it is missing, so a second call adds nothing, not even one
    at the same moment, and a call after MLflow's database was deleted makes everything again. No weights are read or
    copied. The alias never goes back from a later version that passed. The model card is put beside the weights, in
    place of one that an earlier call put there.

    Args:
        config: Where in MLflow.
        trained: The fine-tunes by the models' names; a full one is itself what MLflow loads if it is the candidate.
        package: What `package_model` wrote: which model is the candidate, and a loadable folder if that is none.
        report: The report. Everything it and the package were made from is the run.
        registered: Gets `registered.json`: model, source and weights, or that nothing was to be registered. What MLflow
            can change later, ids and whose the alias is, is not of it: the first call's file stays.
        context: Has the store, in which processes that record the same run at once agree on one.

    Raises:
        TrackingError: If MLflow refuses, or is a server while the store is a local folder.
        TrackingUnavailable: If MLflow does not answer.
        AccessError: If MLflow rejects the credentials.
        DataError: If an input is not the output of a stage.
    """
    content = _register(config, trained, package, report, context) if config.enabled else {"enabled": False}
    write_json(registered.path(REGISTERED_FILE), content)
    if not config.enabled:
        log("register").info("nothing is recorded or registered, as register.enabled is false")


def _register(
    config: RegisterConfig, trained: Sources, package: Source, report: Source, context: StageContext
) -> dict[str, str]:
    check_tracking(package.address)
    quiet_mlflow()
    from med42lib.tracking.connection import Connection
    from med42lib.tracking.runs import Recorder
    from med42lib.tracking.versions import Versions

    with TemporaryDirectory(prefix="med42-register-") as scratch, sqlite_lock(tracking_address()):
        connection = Connection(tracking_address())
        run = FinishedRun.of(trained, package, report, cache=Path(scratch))
        against = _objections(config, run)
        card = model_card(config, run)
        _put_card(card, run, Path(scratch))
        source = _source_uri(run.model.address)
        versions = Versions(connection)
        version = versions.register_version(
            config.model_name,
            source=source,
            run_id=_record_run(Recorder(connection, open_store(context.store)), config, run),
            tags=_version_tags(config, run) | {GATE_TAG: "; ".join(against) or PASSED},
            description=card.note,
        )
        if against:
            _refuse(versions, config.model_name, version, against, weights=run.model.digest)
        else:
            _name_candidate(versions, config.model_name, version, source)
    return {"model": config.model_name, "source": source, "weights": run.model.digest}


def _uri(model_name: str) -> str:
    return f"models:/{model_name}@{CANDIDATE}"


def _name_candidate(versions: Versions, model_name: str, version: str, source: str) -> None:
    """Point the alias at a version, but never back from a later one that passed."""
    if newer := versions.newer_candidate(model_name, version):
        log("register").warning(
            "%s stays version %s, which is newer than version %s, that of this run; to go back, set the alias in "
            "MLflow's interface, or by MlflowClient(%r).set_registered_model_alias(%r, %r, %r). MLflow: %s",
            _uri(model_name),
            newer,
            version,
            redact(tracking_address()),
            model_name,
            CANDIDATE,
            version,
            ui_command(),
        )
        return
    before = versions.set_alias(model_name, version, CANDIDATE)
    moved = f" in place of version {before}" if before not in (None, version) else ""
    what = f"version {version}{moved}: {source}"
    log("register").info("%s is %s. MLflow: %s", _uri(model_name), what, ui_command())


def _refuse(versions: Versions, model_name: str, version: str, against: Sequence[str], *, weights: str) -> None:
    before = versions.take_alias(model_name, CANDIDATE, weights=weights)
    alias = f"is taken from version {before}, which has these weights" if before else "stays where it is"
    log("register").warning(
        "version %s of %s is no candidate, and the alias %s: %s. MLflow: %s",
        version,
        model_name,
        alias,
        "; ".join(against),
        ui_command(),
    )


def _objections(config: RegisterConfig, run: FinishedRun) -> list[str]:
    gain = gain_points(run.metrics, run.candidate)
    if gain is not None and gain < 0:
        log("register").warning(
            "%s answers clean questions worse than its base, by %.1f points; register.gate can ask for more",
            run.candidate,
            -gain,
        )
    return objections(config.gate, run)


def _put_card(card: ModelCard, run: FinishedRun, scratch: Path) -> None:
    """Put the card where the weights lie: where MLflow loads them, and where the candidate was trained.

    No manifest lists it, as it is made of a report that came later. It lies beside the folders that libraries read.
    """
    for address in sorted({run.model.address, run.trained.get(run.candidate, run.model).address}):
        file = scratch / CARD_FILE
        file.write_text(card.text, encoding="utf-8", newline="\n")
        open_store(address).put(CARD_FILE, file)


def _record_run(recorder: Recorder, config: RegisterConfig, run: FinishedRun) -> str:
    for sentence in run.lineage.missing:
        log("register").warning("not recorded in MLflow: input %s", sentence)
    record = RunRecord(
        name=run_name(config.experiment, run.lineage.digest),
        digest=run.lineage.digest,
        tags=config.tags | {NOTE_TAG: description(config, run)},
        params=flatten(run.settings()),
        stages=stage_records(run.lineage, run.manifest(run.report)),
    )
    return recorder.record_run(recorder.experiment(config.experiment), record)


def _version_tags(config: RegisterConfig, run: FinishedRun) -> dict[str, str]:
    """Say what the version is, how well it does and what it was made from, by content."""
    tags = {
        RUN_TAG: run.lineage.digest,
        WEIGHTS_TAG: run.model.digest,
        "med42.candidate": run.candidate,
        "med42.base": run.base.digest,
        "med42.base_model": run.base.name,
        "med42.suite": __version__,
    }
    inputs = run.manifest(run.report).inputs.items()
    tags |= {f"med42.{edge}": entry.digest for edge, entry in inputs if edge in _TAGGED_INPUTS}
    scores = {
        accuracy_metric(subset, OVERALL, run.candidate): f"med42.accuracy_{subset}" for subset in ("all", "clean")
    }
    tags |= {tag: f"{run.metrics[key]:.4f}" for key, tag in scores.items() if key in run.metrics}
    if commit := run.manifest(run.trained.get(run.candidate, run.model)).versions.get(COMMIT):
        tags["med42.git_sha"] = commit
    return tags | config.tags


def _source_uri(address: str) -> str:
    """Write an address as MLflow wants a source."""
    return address if address.startswith(S3_SCHEME) else Path(address).absolute().as_uri()
