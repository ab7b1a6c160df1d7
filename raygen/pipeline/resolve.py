"""From settings to a run that is resolved: which model as the actors will see it, which window, and whether the folder's scores are
of the same kind. Nothing is scored here.

A calibration replaces the cut points of the settings here (``job_of``), so that whoever classifies needs to know only cut points.
Scores of another fingerprint are refused with the parts that differ, as far as the manifest of the run that wrote them tells: all
that ``raygen.scoring.fingerprint`` hashes but the version of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from raygen.classes.background import BACKGROUND_COLUMNS
from raygen.classes.background_file import read_background
from raygen.classes.calibration import CALIBRATED_COLUMNS, load_calibration
from raygen.classes.class_rule import ClassRule, class_rule
from raygen.classes.head import heads_as_text
from raygen.errors import SettingsError, StoppedError
from raygen.finished.position_lookup import open_table
from raygen.home import expanded
from raygen.model.cards import DEMO, OFF_LABEL_DOMAIN, demo_warning, is_off_label
from raygen.model.evo_facts import describe_without_torch
from raygen.model.facts import ModelFacts
from raygen.model.layer_names import refuse_layers
from raygen.model.on_paper import layers_on_paper
from raygen.pipeline.actor_scorer import ResidentScorer
from raygen.pipeline.chosen_window import choose_window
from raygen.pipeline.cluster import WAIT_FOR_GPU, in_our_words, is_connected, remote_address, resources, untried_ray
from raygen.pipeline.job import AppliedHead, Job, RankedAgainst
from raygen.pipeline.prescored import refuse_other_table
from raygen.pipeline.run_heads import heads_of_run
from raygen.remote import is_remote, shown, stage, with_endpoint
from raygen.scoring.effects import EXTRA_COLUMNS, names_on_strands
from raygen.scoring.fingerprint import fingerprint
from raygen.scoring.method import refuse_fork
from raygen.scoring.plan import strands_read
from raygen.sequence.reference import Reference, refuse_unknown_contigs, staged_reference
from raygen.sequence.window_choices import window_in_words
from raygen.sequence.windows import Window
from raygen.settings import Settings
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder, ScoreFile
from raygen.tables.manifest import new_run_id
from raygen.tables.position_table import PositionFolder


@dataclass(frozen=True)
class Resolved:
    """What a run hangs on, settled and checked before anything is ingested or scored.

    Attributes:
        job: what every stage gets to know.
        model: as the actors will see it.
        reference: None for pairs.
        files: score files that the output folder holds already; they are of the same kind as this run's.
        remarks: sentences to show once. warnings: sentences that the manifest keeps too.
    """

    job: Job
    model: ModelFacts
    reference: Reference | None
    files: Sequence[ScoreFile]
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]


def resolve(
    settings: Settings,
    folder: RunFolder,
    connect: Callable[[], object],
    adapt: Callable[[Job], Job] = lambda job: job,
) -> Resolved:
    """Look at the reference, the model and the output folder of a run.

    Args:
        connect: connects to Ray; called where the cluster is another one, whose machines must say how the model runs there.
        adapt: what a run of another kind than scoring changes in its job.

    Raises:
        SettingsError, InputError: the settings do not fit the model, the reference or what the folder holds.
        StoppedError: the cluster did not answer.
    """
    reference = staged_reference(settings.input.reference) if settings.input.reference else None
    if reference:
        refuse_unknown_contigs(settings.input.circular, reference, "input.circular", settings.input.reference)
    if remote_address(settings.cluster.address):
        connect()
    model = describe_model(settings)
    if settings.scoring.method == "fork":
        refuse_fork(model.name, model.fork_refusal)
    window = choose_window(settings, model.context_length) if reference else None
    job = adapt(job_of(settings, model, window, reference))
    files = folder.score_files()
    check_identity(folder, job, model, files)
    if job.prescored:
        check_prescored(job, model)
    return Resolved(job, model, reference, files, _remarks(settings, job, model), _warnings(settings, job, model))


def describe_model(settings: Settings) -> ModelFacts:
    """The model as the actors will see it: looked at here, or on a machine with a GPU of the cluster that is connected."""
    model = settings.model
    look = partial(
        _describe_here,
        model.name,
        revision=model.revision,
        device=model.device,
        dtype=model.dtype,
        allow_unvalidated=model.allow_unvalidated,
    )
    gpus_may_come = model.device == "cuda" and remote_address(settings.cluster.address) is not None
    if not is_connected() or model.device == "cpu" or not (resources().gpus or gpus_may_come):
        return look()
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    ask = ray.remote(lambda: look()).options(num_gpus=settings.cluster.gpus_per_actor, num_cpus=0)
    try:
        return ray.get(ask.remote(), timeout=WAIT_FOR_GPU)
    except GetTimeoutError as error:
        raise StoppedError(
            f"No GPU of the cluster was free within {WAIT_FOR_GPU // 60:.0f} minutes to look at {model.name}. Nothing was "
            "scored yet; the same command tries again."
        ) from error
    except RayError as error:
        raise in_our_words(error, "Nothing was scored yet.") from error


def fingerprint_and_window(settings: Settings) -> tuple[str, Window]:
    """The fingerprint and the window of a run over variants with these settings. A cluster must be connected already.

    Raises:
        SettingsError, InputError: the model cannot be used, or the window does not fit it.
    """
    model = describe_model(settings)
    window = choose_window(settings, model.context_length)
    return _fingerprint(settings, model, window), window


def _fingerprint(settings: Settings, model: ModelFacts, window: Window | None) -> str:
    """The fingerprint of the scores that a run with these settings writes; pairs, which have no window, are read as
    they are.
    """
    strand = settings.window.strand if window else "forward"
    return fingerprint(model, window, strand, settings.input.circular)


def _describe_here(name: str, **options: Any) -> ModelFacts:
    """The model under the name it was given, wherever its files come from."""
    return replace(_describe(stage(name), **options), name=shown(name))


def _describe(name: str, **options: Any) -> ModelFacts:
    """What ``describe_network`` says, without importing torch where that can be."""
    if facts := describe_without_torch(name, **options):
        return facts
    from raygen.model.loading import describe_network

    return describe_network(name, **options)


def _refuse_layers(settings: Settings, model: ModelFacts) -> None:
    """SettingsError where ``embed.layers`` names what the model does not have: before a cluster is asked for anything."""
    if settings.embed.layers:
        refuse_layers(
            model.name, settings.embed.layers, layers_on_paper(replace(model, name=stage(settings.model.name)))
        )


def job_of(settings: Settings, model: ModelFacts, window: Window | None, reference: Reference | None) -> Job:
    strand = settings.window.strand if reference else "forward"
    circular = tuple(settings.input.circular)
    batch_tokens, state_memory = settings.scoring.max_batch_tokens, settings.scoring.state_memory
    _refuse_layers(settings, model)
    run_fingerprint = _fingerprint(settings, model, window)
    rule = _class_rule(settings, run_fingerprint, reference)
    strands = strands_read(strand)
    extra_columns, embed = _extra_columns(settings, strands), settings.embed.request
    heads = heads_of_run(settings, run_fingerprint)
    return Job(
        run_id=new_run_id(),
        output=_for_other_machines(str(settings.output.path)),
        reference=_for_other_machines(str(settings.input.reference)) if reference else None,
        circular=circular,
        window=window,
        strand=strand,
        cuts=rule.cuts,
        calibration=rule.calibration.model_dump_json() if rule.calibration else None,
        background=_ranked_against(settings.classes.background, rule),
        classes_on=rule.on,
        source_columns=tuple(settings.input.carried_columns),
        extra_columns=(*extra_columns, *heads),
        embed=embed,
        model=shown(settings.model.name),
        model_source=_model_source(settings.model.name),
        revision=settings.model.revision,
        device=model.device,
        dtype=model.dtype,
        off_label=is_off_label(settings.input.domain, model.domains),
        allow_unvalidated=settings.model.allow_unvalidated,
        method=settings.scoring.method,
        max_batch_tokens=None if batch_tokens == "auto" else batch_tokens,
        state_memory=None if state_memory == "auto" else state_memory,
        prescored=_for_other_machines(settings.scoring.prescored) if settings.scoring.prescored else None,
        num_uncounted=0 if model.bos_id is not None else 1,
        threads=1,
        keep_every=settings.scoring.keep_every,
        identity=Identity(
            fingerprint=run_fingerprint,
            reference_digest=reference.digest if reference else "",
            cuts=rule.cuts_text,
            source_columns=", ".join(settings.input.carried_columns),
            extra_columns=", ".join(filter(None, [*extra_columns, heads_as_text(heads)])),
            background=rule.background.digest if rule.background else "",
            embeddings=embed.identity_text(strands) if embed else "",
        ),
        earlier_files={},
        make_scorer=ResidentScorer,
        heads={name: AppliedHead(head.path, head.digest, head.summary) for name, head in heads.items()},
    )


def _class_rule(settings: Settings, own_fingerprint: str, reference: Reference | None) -> ClassRule:
    """What the settings make classes by, held to the run's fingerprint and reference.

    Raises:
        InputError, SettingsError: a file cannot be read; it is of other scores, or its columns have names of the input's.
    """
    chosen = settings.classes
    calibration = background = None
    if chosen.calibration:
        calibration = load_calibration(chosen.calibration)
        calibration.refuse_other(own_fingerprint, chosen.calibration)
    if chosen.background:
        background = read_background(chosen.background)
        digest, lengths = (reference.digest, reference.lengths) if reference else ("", {})
        background.refuse_other(own_fingerprint, digest, lengths, chosen.background)
        column = background.facts.group_column
        if column and column not in settings.input.carried_columns:
            raise SettingsError(
                f"{chosen.background} ranks variants by their {column}: carry that column along, input.source_columns={column}."
            )
    rule = class_rule(chosen.cuts, chosen.on, background, calibration)
    for kind, columns in (("calibration", CALIBRATED_COLUMNS), ("background", BACKGROUND_COLUMNS)):
        clashing = [name for name in settings.input.carried_columns if name in columns and name in rule.columns]
        if clashing:
            raise SettingsError(
                f"input.source_columns: {', '.join(clashing)} is what the {kind} adds. Rename the column."
            )
    return rule


def _ranked_against(path: str | None, rule: ClassRule) -> RankedAgainst | None:
    if path is None or rule.background is None:
        return None
    return RankedAgainst(_for_other_machines(path), rule.background.digest, rule.background.summary)


def _extra_columns(settings: Settings, strands: Sequence[str]) -> tuple[str, ...]:
    """The columns that a table gets for ``output.extra_columns`` and ``embed.distances``, always in one order.

    Raises:
        SettingsError: a column of the input has such a name.
    """
    asked = [name for name in EXTRA_COLUMNS if name in settings.output.extra_columns]
    embed = settings.embed.request
    names_of = {
        "output.extra_columns": names_on_strands(asked, len(strands)),
        "embed.distances": embed.distance_names(strands) if embed else [],
    }
    for setting, names in names_of.items():
        if clashing := [name for name in settings.input.carried_columns if name in names]:
            raise SettingsError(
                f"input.source_columns: {', '.join(clashing)} is what {setting} adds. Rename the column."
            )
    return tuple(name for names in names_of.values() for name in names)


def _for_other_machines(path: str) -> str:
    return with_endpoint(path) if is_remote(path) else str(Path(expanded(path)).absolute())


def _model_source(model: str) -> str:
    """A model folder as actors elsewhere find it; other names as they are."""
    return _for_other_machines(model) if is_remote(model) or (model != DEMO and Path(model).is_dir()) else model


def check_identity(folder: RunFolder, job: Job, model: ModelFacts, files: Sequence[ScoreFile]) -> None:
    """Refuse to add scores to a folder that holds scores of another kind.

    Raises:
        SettingsError: the folder's scores have another fingerprint, reference, cut points or columns.
    """
    stored = folder.identity(files)
    if stored is None or replace(stored, column_types="") == job.identity:  # types are settled with the input
        return
    manifests = [manifest for manifest in folder.manifests() if manifest.get("fingerprint") == stored.fingerprint]
    earlier = manifests[-1] if manifests else {}
    if stored.fingerprint != job.identity.fingerprint:
        raise SettingsError(
            f"{folder.path} holds scores with the fingerprint {stored.fingerprint}; this run's is "
            f"{job.identity.fingerprint}: {what_differs(earlier, job, model)}. Give another output folder."
        )
    if stored.reference_digest != job.identity.reference_digest:
        reference = (earlier.get("resolved") or {}).get("reference")
        if reference and reference == job.reference:
            raise SettingsError(
                f"{folder.path} holds scores on {reference} as it was before: its contigs or bases are others now. Give another output folder."
            )
        raise SettingsError(
            f"{folder.path} holds scores on another reference{f', {reference}' if reference else ''}; this run's is "
            f"{job.reference or 'none: it scores pairs'}. Give another output folder."
        )
    if stored.cuts != job.identity.cuts:
        raise SettingsError(
            f"{folder.path} holds classes with the cut points {stored.cuts}; this run's are {job.identity.cuts}. "
            "Give another output folder."
        )
    if stored.background != job.identity.background:
        raise SettingsError(
            f"{folder.path} holds scores that are ranked against the background {stored.background or '(none)'}; this run's is "
            f"{job.identity.background or '(none)'}. Give another output folder, or rank finished scores by `raygen reclassify`."
        )
    if stored.embeddings != job.identity.embeddings:
        raise SettingsError(
            f"{folder.path} holds scores with the embeddings {stored.embeddings or '(none)'}; this run's are "
            f"{job.identity.embeddings or '(none)'}. Give another output folder."
        )
    if stored.extra_columns != job.identity.extra_columns:
        settings = (
            "output.extra_columns and classes.heads"
            if job.heads or "(head " in stored.extra_columns
            else "output.extra_columns"
        )
        raise SettingsError(
            f"{folder.path} holds scores with {settings} {stored.extra_columns or '(none)'}; this run's are "
            f"{job.identity.extra_columns or '(none)'}. Give another output folder."
        )
    raise SettingsError(
        f"{folder.path} holds scores with the source columns {stored.source_columns or '(none)'}; this run's are "
        f"{job.identity.source_columns or '(none)'}. Give another output folder."
    )


def check_prescored(job: Job, model: ModelFacts) -> None:
    """Refuse a position table of other numbers than this run's.

    Raises:
        SettingsError, InputError: as ``refuse_other_table``; it cannot be read.
    """
    assert job.prescored is not None
    table = open_table(job.prescored)
    manifests = [
        manifest
        for manifest in PositionFolder(job.prescored).manifests()
        if manifest.get("fingerprint") == table.fingerprint
    ]
    refuse_other_table(job, table, what_differs(manifests[-1] if manifests else {}, job, model))


def _remarks(settings: Settings, job: Job, model: ModelFacts) -> tuple[str, ...]:
    """What to say before a run starts: what runs, and what its user should know of it."""
    window = window_in_words(job.window) if job.window else "pairs as they are"
    what_runs = (
        f"model {model.name} ({model.dtype} on {model.device}), {window}, strand {job.strand}, method {job.method}, "
        f"fingerprint {job.identity.fingerprint}"
    )
    remarks = [what_runs, *model.remarks]
    if job.window and job.window.right == 1:
        remarks.append(ONE_BASE_READ)
    if job.prescored:
        remarks.append(f"single-base changes that {shown(job.prescored)} holds are taken from there")
    if job.calibration:
        remarks.append(f"classes by the calibration {settings.classes.calibration}, with probability and evidence")
    if job.background:
        on = f"; classes on {job.classes_on}" if job.classes_on else ""
        remarks.append(f"ranked against the background {settings.classes.background}{on}")
    if job.heads:
        remarks.append(f"columns of heads: {', '.join(job.heads)}")
    if model.name == DEMO and settings.input.domain is not None:  # else it is a warning
        remarks.append(
            "The demo's model is small and knows animal mitochondria only: it is for trying the software, not for patients."
        )
    return tuple(remarks)


def _warnings(settings: Settings, job: Job, model: ModelFacts) -> tuple[str, ...]:
    off_label = _off_label_warning(settings, model) if job.off_label else None
    return tuple(filter(None, [untried_ray(), off_label, demo_warning(model.name, settings.input.domain)]))


def _off_label_warning(settings: Settings, model: ModelFacts) -> str:
    trained_on = ", ".join(model.domains or ()) or "nothing"
    return (
        f"input.domain is {settings.input.domain}, but {model.name} was trained on {trained_on}: "
        f"its scores may mean nothing here, and every row has the flag {OFF_LABEL_DOMAIN}."
    )


ONE_BASE_READ = (
    "With window.right 1 only the first base of a variant is read, which is all of a single-base change: score insertions, deletions and "
    "changes of several bases with a longer window, into a folder of their own."
)
"""What to say of a window that ends with the variant's first base."""

PARTS = "another model, precision, window, strand or input.circular"
"""What to say where no manifest tells more."""


def what_differs(manifest: Mapping[str, Any], job: Job, model: ModelFacts) -> str:
    """How a run differs from that of a manifest: ``window.left is 48 there and 2,048 here``; ``PARTS`` where it does
    not say.
    """
    return differences(manifest, job.as_plain(), asdict(model))


def differences(manifest: Mapping[str, Any], resolved: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """How a run's fingerprint differs from that of a manifest, in words, from plain values.

    Args:
        manifest: of the run that wrote the scores.
        resolved, model: as this run's manifest would say them.
    """
    if not manifest.get("resolved") or not manifest.get("model"):
        return PARTS
    stored, current = _parts(manifest["resolved"], manifest["model"]), _parts(resolved, model)
    if stored["weights"] != current["weights"] and stored["model"] == current["model"]:
        return f"the weights of {current['model']} are not those of then"
    differing = [name for name in current if name != "weights" and stored[name] != current[name]]
    sentences = [f"{name} is {_in_words(stored[name])} there and {_in_words(current[name])} here" for name in differing]
    return "; ".join(sentences) or "the same settings, scored by a version of raygen that computes otherwise"


def _parts(resolved: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    window = resolved.get("window") or dict.fromkeys(("left", "right", "anchor", "stride"))
    return {
        "weights": model.get("weights_hash"),
        "model": model.get("name"),
        "model.dtype": model.get("dtype"),
        "the token before the first base": model.get("bos_id"),
        **{f"window.{name}": value for name, value in window.items()},
        "window.strand": resolved.get("strand"),
        "input.circular": sorted(resolved.get("circular") or ()),
    }


def _in_words(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return ", ".join(value) if isinstance(value, list) else f"{value:,}" if isinstance(value, int) else str(value)
