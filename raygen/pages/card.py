"""One page about a run's scores, in Markdown: what they are for, what made them, what they were checked on and what they were not.

From the manifest, from the folder's scores (its latest run may have found nothing left to do), and from the files that
``evaluate --json`` and ``calibrate`` wrote, where they are of the same fingerprint. What is not known is said to be unknown: an
empty section would read as if there were nothing to say.

What the folder holds is counted in one pass over a few columns: a run's manifest counts what that run did, and where the same
command is run again it did nothing.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raygen.classes.background import DELTA_CONTEXT
from raygen.classes.calibration import KIND as CALIBRATION_KIND
from raygen.classes.calibration import load_calibration, summary
from raygen.classes.class_rule import is_on_context
from raygen.classes.classify import CLASSES, cuts_from_json
from raygen.classes.evidence import STRENGTHS
from raygen.classes.words import class_range, class_words, phred_cuts
from raygen.errors import InputError, SettingsError
from raygen.model.cards import ModelCard, find_card
from raygen.pages.report_facts import ENDED, background_words
from raygen.tables.fingerprints import no_scores, tables_inside
from raygen.tables.folder_kinds import refuse_no_folder, refuse_positions
from raygen.tables.layout import RunFolder

EVALUATION_KIND = "raygen evaluation"
_POPULATION_WORDS = ("popul", "ancest", "ethnic", "sex")
_MOST_GROUPS = 12


def make_card(folder: str, run_id: str | None = None, checks: Sequence[str] = ()) -> str:
    """The card of a run as Markdown, of the last one where none is named.

    Args:
        run_id: the run whose manifest the card describes.
        checks: files of ``raygen evaluate --json`` and ``raygen calibrate``.

    Raises:
        InputError: there is no such folder or run, or a file of ``checks`` is neither of the two.
        SettingsError: a file of ``checks`` is of another fingerprint.
    """
    refuse_no_folder(folder)
    refuse_positions(folder)
    run = RunFolder(folder)
    manifest = run.read_manifest(run_id)
    if manifest is None:
        if not run.run_ids() and tables_inside(folder):
            raise no_scores(folder)
        run_ids = ", ".join(run.run_ids()) or "none"
        raise InputError(f"{folder} has no manifest of {run_id or 'a finished run'}. Its runs: {run_ids}.")
    evaluations, calibrations = _read_checks(checks, str(manifest.get("fingerprint")))
    recorded = manifest.get("calibration")
    if recorded and all(calibration["digest"] != recorded["digest"] for calibration in calibrations):
        calibrations.append(recorded)
    card = find_card(_of(manifest, "model", "name"))
    return "\n".join(_page(manifest, card, count_folder(run), evaluations, calibrations)) + "\n"


def _read_checks(paths: Sequence[str], fingerprint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    evaluations, calibrations = [], []
    for path in paths:
        content = _read_json(path)
        if content.get("kind") == EVALUATION_KIND:
            evaluations.append(content)
        elif content.get("kind") == CALIBRATION_KIND:
            content = summary(load_calibration(path).model_dump_json())
            calibrations.append(content)
        else:
            raise InputError(f"{path} was written neither by `raygen evaluate --json` nor by `raygen calibrate`.")
        if content.get("fingerprint") != fingerprint:
            raise SettingsError(
                f"{path} is of scores of the fingerprint {content.get('fingerprint') or '(none)'}, the run's is {fingerprint}."
            )
    return evaluations, calibrations


def _read_json(path: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {getattr(error, 'strerror', None) or error}.") from error
    return content if isinstance(content, dict) else {}


def _page(
    manifest: Mapping[str, Any],
    card: ModelCard | None,
    counts: FolderCounts,
    evaluations: Sequence[Mapping[str, Any]],
    calibrations: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    yield f"# Card of the scores of run {manifest.get('run_id')}"
    if manifest.get("status") in ENDED:
        yield ""
        yield f"**{ENDED[manifest['status']]}**"
    yield ""
    yield "## Intended use"
    yield ""
    yield "Research: ranking genomic variants by how much less likely a DNA language model finds the sequence with them."
    yield "Not for the care of patients, and no replacement for the assessment of a variant by a specialist."
    yield from _section("What made the scores", _made_by(manifest, card))
    yield from _section("What the model was trained on", _trained_on(manifest, card))
    yield from _section("What was scored", _scored(manifest, counts))
    yield from _section("What the scores were checked on", _checked_on(evaluations, calibrations))
    yield from _section("Populations in the labels", _populations(evaluations))
    yield from _section("Limits", _limits(manifest, card, evaluations, calibrations))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from (f"- {line}" for line in lines)


def _made_by(manifest: Mapping[str, Any], card: ModelCard | None) -> Iterator[str]:
    model, resolved = manifest.get("model") or {}, manifest.get("resolved") or {}
    revision = f", revision {model['revision']}" if model.get("revision") else ""
    yield f"model: {model.get('name', 'unknown')}{revision}, {model.get('num_parameters', 0):,} parameters"
    if card:
        yield f"source: {card.source}; licence {card.licence}"
    yield f"weights: {model.get('weights_hash', 'unknown')}"
    yield f"precision: {model.get('dtype', 'unknown')} on {model.get('device', 'unknown')}"
    yield f"window: {_window(resolved.get('window'))}, strand {resolved.get('strand', 'unknown')}"
    yield f"fingerprint: `{manifest.get('fingerprint')}`; scores with another one are not comparable"
    versions = manifest.get("versions") or {}
    yield f"raygen {versions.get('raygen', 'unknown')}, torch {versions.get('torch', 'unknown')}"
    origin = (
        "a calibration" if manifest.get("calibration") else "the preset or the settings, not from labelled variants"
    )
    yield f"classes: cut points {_cut_points(resolved)}, from {origin}"
    if background := manifest.get("background"):
        yield from _ranked_against(background)


def _cut_points(resolved: Mapping[str, Any]) -> str:
    """The cut points in the unit that they were given in; of cut points in PHRED, with those on ``delta_llr`` that part the same variants."""
    on = resolved.get("classes_on")
    nats = ", ".join(map(_cut, cuts_from_json(resolved.get("cuts") or []))) or "unknown"
    if phred := phred_cuts(on):
        harmful = f"{class_words(CLASSES[0]).title} is PHRED {class_range(CLASSES[0], (), on)}"
        return f"{', '.join(f'{cut:g}' for cut in phred)} on phred ({harmful}), which are {nats} on delta_llr (nats)"
    return f"{nats} on {DELTA_CONTEXT if is_on_context(on) else 'delta_llr'} (nats)"


def _cut(cut: float) -> str:
    return "none" if abs(cut) >= sys.float_info.max else f"{cut:g}"  # of PHRED beyond all deltas


def _ranked_against(background: Mapping[str, Any]) -> Iterator[str]:
    yield f"ranked against: {background_words(background)}; a percentile is too large by at most {background['rank_error']:.1e}"
    groups = sorted(background["groups"].items(), key=lambda group: -group[1])
    more = f" and {len(groups) - _MOST_GROUPS} more" if len(groups) > _MOST_GROUPS else ""
    yield "groups of the background: " + "; ".join(f"{name} {count:,}" for name, count in groups[:_MOST_GROUPS]) + more


def _window(window: Mapping[str, Any] | None) -> str:
    if not window:
        return "pairs as they were given"
    grid = f" on a grid of {window['stride']:,}" if window.get("stride") else ""
    return f"{window['left']:,} bases before the variant and {window['right']:,} from it on{grid}"


def _trained_on(manifest: Mapping[str, Any], card: ModelCard | None) -> Iterator[str]:
    domains = _of(manifest, "model", "domains")
    declared = _of(manifest, "settings", "input", "domain")
    if domains is None:
        yield "unknown: the model is a folder or has no model card"
    else:
        yield f"domains: {', '.join(domains) or 'none'}"
    if card:
        yield card.notes.strip()
    if declared is None:
        yield "the domain of the input was not declared, so nothing was flagged as off-label (`input.domain`)"
    else:
        relation = "one that the model was trained on" if domains and declared in domains else "NOT known to the model"
        yield f"the input is declared to be {declared}: {relation if domains is not None else 'not to be compared'}"


def _scored(manifest: Mapping[str, Any], counts: FolderCounts) -> Iterator[str]:
    yield f"variants scored by all runs into the folder: {counts.scored:,}; rejected: {counts.rejected:,}"
    if counts.classes:
        yield "classes: " + ", ".join(f"{name} {count:,}" for name, count in counts.classes.items())
    yield f"abstained on: {counts.abstained:,}" + _strands(manifest)
    for flag, count in sorted(counts.flags.items()):
        yield f"flag {flag}: {count:,}"
    for warning in manifest.get("warnings") or []:
        yield f"warning of the run: {warning}"


def _strands(manifest: Mapping[str, Any]) -> str:
    strand = _of(manifest, "resolved", "strand")
    return (
        "" if strand == "both" else f" (strand {strand}: the two strands were not compared; `window.strand: both` does)"
    )


def _checked_on(evaluations: Sequence[Mapping[str, Any]], calibrations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not evaluations and not calibrations:
        yield "nothing: no evaluation and no calibration of this fingerprint was given (`--check FILE`)"
    for evaluation in evaluations:
        overall = evaluation["overall"]
        yield (
            f"{Path(evaluation['labels_from']).name}, {evaluation['label']}: AUROC {_area(overall, 'auroc')}, AUPRC {_area(overall, 'auprc')}, "
            f"{overall['num_positive']:,} positive ({', '.join(evaluation['positive'])}), "
            f"{overall['num_negative']:,} negative ({', '.join(evaluation['negative'])})"
        )
        yield from _to_know(evaluation)
        for column, groups in evaluation["by"].items():
            yield f"by {column}: " + _groups(groups)
    for calibration in calibrations:
        labels, quality = calibration["labels"], calibration["quality"]
        yield (
            f"calibration {calibration['digest']} ({calibration['method']}) on {labels['source']}: {labels['num_positive']:,} positive, "
            f"{labels['num_negative']:,} negative; AUROC of the score itself {quality['auroc']:.3f}, on all of them; Brier score {quality['brier']:.4f} on "
            f"{quality['folds']} held-out folds (share of positives alone: {quality['brier_of_share']:.4f}); "
            f"strongest evidence at a prior of {calibration['prior']:g}: PP3 {_strongest(calibration['pathogenic'])}, "
            f"BP4 {_strongest(calibration['benign'])}{_independence(calibration)}"
        )


def _to_know(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """What was drawn again, what stands beside the score, and the warnings; nothing of what evaluations of before lack."""
    if clusters := evaluation.get("clusters"):
        reason = f" ({clusters['why_not_larger']})" if clusters["why_not_larger"] else ""
        unnamed = (
            f", {clusters['num_without_name']:,} of them without a name" if clusters.get("num_without_name") else ""
        )
        yield f"its intervals are by {clusters['level']}, {clusters['num_clusters']:,} in all{unnamed}{reason}"
    areas = list((evaluation.get("beside") or {"areas": {}})["areas"].items())
    if others := [f"{name} AUROC {_area(area, 'auroc')}" for name, area in areas[1:]]:
        yield f"beside it, on the same rows: {'; '.join(others)}"
    for warning in evaluation.get("warnings") or []:
        yield f"warning of the evaluation: {warning}"


def _independence(calibration: Mapping[str, Any]) -> str:
    """What the folds did not part, how many sites the labels have, and what else they chose; nothing of older calibrations."""
    words = ""
    if grouping := calibration.get("grouping"):
        sites = f", {grouping['num_sites']:,} sites" if grouping["num_sites"] is not None else ""
        words = f"; folds and bounds by {grouping['level']} ({grouping['num_clusters']:,}{sites})"
    if tuned_on := calibration.get("tuned_on"):
        words += f". Warning: the same labels also chose {tuned_on}, which flatters all of this"
    return words


def _groups(groups: Mapping[str, Mapping[str, Any]]) -> str:
    shown = [f"{name} {_area(group, 'auroc')}" for name, group in list(groups.items())[:_MOST_GROUPS]]
    worse = [name for name, group in groups.items() if group["worse_than_overall"]]
    more = f" and {len(groups) - _MOST_GROUPS} more" if len(groups) > _MOST_GROUPS else ""
    return f"{'; '.join(shown)}{more}. Lower than overall: {', '.join(worse) or 'none'}"


def _area(areas: Mapping[str, Any], name: str) -> str:
    if areas[name] is None:
        return f"- ({areas['note']})"
    interval = areas[f"{name}_interval"]
    return f"{areas[name]:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _strongest(strengths: Mapping[str, float | None]) -> str:
    reached = [name for name in STRENGTHS if strengths.get(name) is not None]
    return reached[-1].replace("_", " ") if reached else "none"


def _populations(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_population = [
        (column, groups)
        for evaluation in evaluations
        for column, groups in evaluation["by"].items()
        if any(word in column.lower() for word in _POPULATION_WORDS)
    ]
    for column, groups in by_population:
        numbers = [f"{name} {group['num_positive'] + group['num_negative']:,}" for name, group in groups.items()]
        yield f"{column} (labelled variants): {', '.join(numbers)}"
    if not by_population:
        yield (
            "not recorded. Most public labels come from people of European ancestry who were tested; nothing is known here of how "
            "well these scores do for any group (`raygen evaluate --by COLUMN` looks)"
        )


def _limits(
    manifest: Mapping[str, Any],
    card: ModelCard | None,
    evaluations: Sequence[Mapping[str, Any]],
    calibrations: Sequence[Mapping[str, Any]],
) -> Iterator[str]:
    if card and not card.domains:
        yield "the model was trained on nothing: its scores mean nothing"
    if not manifest.get("calibration"):
        yield "the classes are labels of a scale: nobody has shown that these cut points hold for this model, window and strand"
    if not evaluations:
        yield "not evaluated: whether the scores tell harmful variants from others is not known here"
    if not calibrations:
        yield "not calibrated: a score is no probability"
    if background := manifest.get("background"):
        yield (
            f"percentile and PHRED are ranks against the background {background['digest']} only: no probabilities, and not to be compared with "
            "ranks against another one, or with CADD's"
        )
        yield f"PHRED reaches {10 * math.log10(background['num_scores']):.1f}, as the background has {background['num_scores']:,} scores"
    yield "evidence and probabilities hold at their stated prior, and for variants like those that were labelled"
    yield "labels are often made with computed predictions among the evidence, which flatters every such score"
    yield "not checked: clinical use, structural variants, other assemblies, and every kind of variant that is not named above"


def _of(tree: Mapping[str, Any], *names: str) -> Any:
    value: Any = tree
    for name in names:
        value = (value or {}).get(name)
    return value


@dataclass
class FolderCounts:
    """Rows of all runs into a folder; ``classes`` are those that have rows, in the order of ``CLASSES``."""

    scored: int = 0
    rejected: int = 0
    abstained: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)


def count_folder(folder: RunFolder) -> FolderCounts:
    """Count the committed scores and rejects of a folder, of any size."""
    scored = abstained = 0
    classes, flags = Counter[str](), Counter[str]()
    for batch in folder.scores_dataset().to_batches(columns=["classification", "abstained", "flags"]):
        scored += batch.num_rows
        abstained += pc.sum(batch["abstained"]).as_py() or 0
        classes.update(_counted(batch["classification"]))
        flags.update(_counted(pc.list_flatten(batch["flags"])))
    ordered = {name: classes[name] for name in (*CLASSES, *sorted(set(classes) - set(CLASSES))) if classes[name]}
    return FolderCounts(scored, folder.rejects_dataset().count_rows(), abstained, ordered, dict(flags))


def _counted(values: pa.Array) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
