"""``raygen explain``: one variant under a model, in this process, without Ray.

In: what a user asks for, settings of their own or those of a run's folder. Out: the variant looked into, the cut points
of its classes, and in a line what computed it. A run's settings hold where the user gave none, so that what is shown is
where the run's own delta comes from; where it cannot be (another model, another window), a warning says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from raygen.classes.background import Background
from raygen.classes.background_file import read_background
from raygen.classes.calibration import load_calibration
from raygen.classes.class_rule import ClassRule, class_rule, is_on_context
from raygen.classes.classify import cuts_from_text
from raygen.errors import InputError, SettingsError
from raygen.model.cards import demo_warning
from raygen.remote import shown, stage
from raygen.scoring.fingerprint import fingerprint
from raygen.scoring.likelihood import ResidentModel, load_model
from raygen.sequence.reference import Reference, open_reference, refuse_unknown_contigs
from raygen.sequence.window_choices import fit_window, window_in_words
from raygen.settings import ModelSettings, Settings, load_settings
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.layout import RunFolder
from raygen.trials.explain import Explanation, explain_variant
from raygen.variants.region import parse_variant


@dataclass(frozen=True)
class ExplainRequest:
    """What to explain.

    Attributes:
        variant: as ``parse_variant`` reads it.
        overrides, flags: settings, as ``load_settings`` takes them.
        like: the folder of a run whose settings hold where these give none.
    """

    variant: str
    overrides: Sequence[str] = ()
    flags: Mapping[str, str | None] | None = None
    like: str | None = None

    @property
    def sets_classes(self) -> bool:
        """Whether the cut points are the user's, and not those of the run."""
        return any(name.startswith("classes.") for name in self.names_set)

    @property
    def names_set(self) -> set[str]:
        """The names in ``overrides``."""
        return {text.partition("=")[0].strip() for text in self.overrides}


@dataclass(frozen=True)
class ExplainedVariant:
    """A variant looked into, the cut points of the classes, and a line on model, window, strand and fingerprint.

    Attributes:
        cuts: in nats; None where the classes are cut on contexts that are not at hand.
    """

    explanation: Explanation
    cuts: tuple[float, ...] | None
    about: str


def run_explanation(request: ExplainRequest, say: Callable[[str], None] = print) -> ExplainedVariant:
    """Look into one variant.

    Args:
        say: is told what computes, and what to be careful about, before the work.

    Raises:
        SettingsError: there is no reference, or a setting, window or contig that there is not.
        InputError: the folder, the reference, the variant or the checkpoint cannot be used.
        StoppedError: the model gives a value that is not finite.
    """
    settings, stored = settings_of(request)
    path, circular, strand = settings.input.reference, settings.input.circular, settings.window.strand
    if not path:
        raise SettingsError("explain needs the FASTA of the variant's assembly: give --reference, or --like a run.")
    reference = open_reference(stage(path))
    refuse_unknown_contigs(circular, reference, "input.circular", path)
    variant = parse_variant(request.variant, reference, settings.input.max_allele_length)
    model = _load(settings.model)
    window_settings = settings.window
    window = fit_window(
        window_settings.left,
        window_settings.right,
        window_settings.anchor,
        window_settings.stride,
        model.context_length,
        shown(settings.model.name),
    )
    own_fingerprint = fingerprint(model.loaded.facts, window, strand, circular)
    name = shown(settings.model.name)
    about = f"model {name}, {window_in_words(window)}, strand {strand}, fingerprint {own_fingerprint}"
    say(about)
    for warning in _warnings(request, settings, name, own_fingerprint, stored):
        say(f"warning: {warning}")
    rule = _rule_of(settings, own_fingerprint, reference, None if request.sets_classes else request.like)
    if rule is None:
        say(
            f"warning: the classes of {request.like} are cut on delta_context, and its background is not at hand: none are shown. "
            "Set classes.on, classes.background and classes.cuts to see them."
        )
    explanation = explain_variant(model, variant, reference, window, strand, circular)
    if rule and rule.background and is_on_context(rule.on):
        expected = _expected(explanation.alleles, rule.background, reference)
        explanation = replace(explanation, expected=expected)
    return ExplainedVariant(explanation, rule.cuts if rule else None, about)


def settings_of(request: ExplainRequest) -> tuple[Settings, str | None]:
    """The settings that hold, and the fingerprint of the run that they are like, None without one.

    Raises:
        SettingsError, InputError: they have faults; there is no such folder, or its run scored pairs.
    """
    flags = request.flags or {}
    settings = load_settings(None, request.overrides, flags, complete=False)
    if not request.like:
        return settings, None
    refuse_no_folder(request.like)
    manifest = RunFolder(request.like).read_manifest()
    if manifest is None:
        raise InputError(f"--like {request.like}: there is no folder of a run.")
    if manifest["resolved"]["window"] is None:
        raise SettingsError(
            f"--like {request.like}: this run scored pairs of sequences, which have no variant to explain."
        )
    by_user = {name: value for name, value in flags.items() if value is not None}
    values = {**_values_of_run(manifest), **by_user}
    not_overridden = {name: value for name, value in values.items() if name not in request.names_set}
    return load_settings(None, request.overrides, not_overridden, complete=False), manifest["fingerprint"]


def _values_of_run(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide what a variant's delta is, as a run's manifest has them."""
    resolved, of_run = manifest["resolved"], manifest["settings"]
    return {
        "input.reference": resolved["reference"],
        "input.circular": resolved["circular"],
        "input.domain": of_run["input"].get("domain"),
        "model.name": resolved["model_source"],
        "model.revision": resolved["revision"],
        "model.dtype": of_run["model"]["dtype"],
        "model.allow_unvalidated": of_run["model"].get("allow_unvalidated", False),
        "window.strand": resolved["strand"],
        **{f"window.{name}": value for name, value in resolved["window"].items()},
    }


def _load(model_settings: ModelSettings) -> ResidentModel:
    return load_model(
        stage(model_settings.name),
        revision=model_settings.revision,
        device=model_settings.device,
        dtype=model_settings.dtype,
        allow_unvalidated=model_settings.allow_unvalidated,
    )


def _warnings(
    request: ExplainRequest, settings: Settings, model: str, own_fingerprint: str, stored: str | None
) -> list[str]:
    """What to be careful about: a model for trying, and scores that another model or window gave."""
    warnings = [demo_warning(model, settings.input.domain)]
    if stored and stored != own_fingerprint:
        warnings.append(
            f"the scores of {request.like} have the fingerprint {stored}, so theirs may differ from what is shown here."
        )
    return [warning for warning in warnings if warning]


def _rule_of(settings: Settings, own_fingerprint: str, reference: Reference, like: str | None) -> ClassRule | None:
    """How deltas get their classes, see ``cuts_of``; None where that needs the background of ``like``, which is not known.

    Raises:
        InputError, SettingsError: a calibration or a background cannot be read, or is not of ``own_fingerprint``.
    """
    identity = RunFolder(like).identity() if like else None
    if identity and is_on_context(identity.cuts):
        return None
    classes = settings.classes
    if identity or classes.on == "delta_llr" or not classes.background:
        return ClassRule(cuts_of(settings, own_fingerprint, like))
    background = read_background(stage(classes.background))
    background.refuse_other(own_fingerprint, reference.digest, reference.lengths, classes.background)
    return class_rule(classes.cuts, classes.on, background)


def _expected(alleles: pa.Table, background: Background, reference: Reference) -> dict[str, float]:
    """Nats that their contexts alone make likely of the changes at a site, by ``variant_id``; those without a context are left out."""
    nats = background.expected(alleles, reference.bases)
    names = alleles["variant_id"].to_pylist()
    return {name: float(value) for name, value in zip(names, nats, strict=True) if not math.isnan(value)}


def cuts_of(settings: Settings, own_fingerprint: str, like: str | None) -> tuple[float, ...]:
    """The cut points of the classes: those of a folder's scores, of a calibration, or of the settings.

    Raises:
        InputError, SettingsError: the calibration cannot be read, or is not of ``own_fingerprint``.
    """
    if like and (identity := RunFolder(like).identity()):
        return cuts_from_text(identity.cuts)
    if path := settings.classes.calibration:
        calibration = load_calibration(path)
        calibration.refuse_other(own_fingerprint, path)
        return calibration.cuts
    return settings.classes.cuts
