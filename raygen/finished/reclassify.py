"""Other classes and ranks for finished scores, without a model: new cut points, a calibration, a background or heads, into a new folder.

Shard by shard: one is in memory at a time, whatever the size of the run, and a killed command goes on where it stopped. Scores,
fingerprint and run ids stay as they are; ``classification`` and ``abstained`` are made anew, a background's and a calibration's columns are put
last. Those of an earlier calibration are taken away, those of an earlier background where there is a new one. Rejects are copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from raygen.classes.background import BACKGROUND_COLUMNS, DELTA_CONTEXT, Background
from raygen.classes.calibration import CALIBRATED_COLUMNS, Calibration, summary
from raygen.classes.class_rule import ClassRule, On, class_rule, is_on_context
from raygen.classes.classify import CLASSES, cuts_as_json, cuts_from_text, strands_disagree
from raygen.classes.head import Head, heads_as_text
from raygen.errors import RaygenError, SettingsError
from raygen.finished.head_scores import refuse_other_heads, with_heads
from raygen.number_of import number_of
from raygen.remote import exists
from raygen.sequence.reference import Reference, staged_reference
from raygen.tables.accounts import RECLASSIFIED
from raygen.tables.carried_types import is_as_wide
from raygen.tables.columns import has_item
from raygen.tables.fingerprints import no_scores
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder
from raygen.tables.manifest import machine, new_run_id, versions
from raygen.tables.schemas import SCORES
from raygen.tables.widen import widen


@dataclass
class Reclassified:
    """What ``reclassify`` did.

    Attributes:
        out, manifest: paths of the new folder and of its manifest.
        classes: rows by class; ``changed`` rows by (class before, class after).
        rejects: rejected alleles by reason, which are taken along.
        already: rows that the new folder held before.
    """

    out: str
    manifest: str
    classes: dict[str, int]
    changed: dict[tuple[str, str], int]
    rejects: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    already: int = 0
    abstained: int = 0

    @property
    def rejected(self) -> int:
        """Rejected alleles of all reasons."""
        return sum(self.rejects.values())


def reclassify(
    folder: str,
    out: str,
    cuts: Sequence[float] | None = None,
    calibration: Calibration | None = None,
    where: str = "the calibration",
    on_progress: Callable[[int], None] | None = None,
    background: Background | None = None,
    background_name: str = "the background",
    on: On = "delta_llr",
    reference: str | None = None,
    heads: Mapping[str, Head] | None = None,
) -> Reclassified:
    """Write the scores of ``folder`` into ``out`` with other classes.

    Args:
        cuts: four ascending cut points, in the unit of ``on``; None where a calibration gives them, or where they stay as they are.
        calibration: gives the cut points and its columns; ``where`` is its name in errors.
        background: ranks the scores; ``background_name`` as ``where``.
        on: what the cut points are of.
        reference: the FASTA of the scores, for contexts, where the run's manifest does not say where it is.
        heads: applied to stored states, by the names of their columns.

    Raises:
        SettingsError: the calibration, the background or a head is of another fingerprint, or ``out`` holds other scores.
        InputError: ``folder`` holds no scores, there is no such folder, or ``out`` cannot take its wider types.
    """
    refuse_no_folder(folder)
    source, target = RunFolder(folder), RunFolder(out)
    old_identity = source.identity()
    if old_identity is None:
        raise no_scores(folder)
    original = source.read_manifest() or {}  # before anything is written
    fasta = _reference(reference, original, old_identity) if background or reference else None
    if calibration:
        calibration.refuse_other(old_identity.fingerprint, where)
    if background:
        _refuse_other_background(background, old_identity, fasta, folder, background_name)
    if cuts_stay := cuts is None and calibration is None:
        if on != "delta_llr" or is_on_context(old_identity.cuts) or "; calibration" in old_identity.cuts:
            raise SettingsError(
                f"The classes of {folder} are cut on {old_identity.cuts}; say with --cuts or --calibration what they are to be."
            )
        cuts = cuts_from_text(old_identity.cuts)
    rule = class_rule(cuts, on, background, calibration)
    if cuts_stay:
        rule = replace(rule, on=old_identity.cuts.partition("; ")[2] or None)
    _refuse_clashes(rule, old_identity, folder)
    if heads:
        refuse_other_heads(heads, old_identity.fingerprint, source)
    if f"{target.path}/".startswith(f"{source.path}/"):
        raise SettingsError(f"{out} is the folder of the scores themselves. Give another folder for --out.")
    identity = replace(
        old_identity,
        cuts=rule.cuts_text,
        background=background.digest if background else old_identity.background,
        embeddings="",  # they stay where they are: other classes change nothing of them
        extra_columns=", ".join(filter(None, [old_identity.extra_columns, heads_as_text(heads or {})])),
    )
    target.prepare()
    started = datetime.now(UTC)
    with target.locked():
        _check_target(source, target, identity)
        result = _rewrite(
            source, target, identity, old_identity, rule, fasta, on_progress or (lambda count: None), heads or {}
        )
        result.manifest = _write_manifest(
            source, target, original, result, old_identity, identity, rule, started, heads or {}
        )
    return result


def reclassify_rows(
    scores: pa.Table, old: Identity, rule: ClassRule, bases: Callable[[str], np.ndarray] | None = None
) -> pa.Table:
    """Rows of SCORES with other classes; columns that follow stay, those of a background and a calibration come last.

    What a row was abstained on for beside its strands and its context (too many N in the window) is not in the table by itself: where
    these do not explain it, or the window holds an N, it stays.

    Args:
        old: what the rows share now.
        bases: gives the bases of a contig, for contexts.
    """
    stays = scores["abstained"].to_numpy(zero_copy_only=False) & (
        ~_is_explained(scores, old.cuts) | has_item(scores["flags"], "n_in_window")
    )
    gone = [name for name in scores.column_names if name in (*_MADE, *_columns_of_rule(old, rule))]
    bare = scores.drop_columns(gone).append_column("too_many_n", pa.array(stays, pa.bool_()))
    column = rule.background.facts.group_column if rule.background else None
    classified = rule.append_columns(bare, scores[column] if column else None, bases)
    order = [*(name for name in scores.column_names if name not in gone or name in _MADE), *rule.columns]
    fields = [SCORES.field(name) if name in SCORES.names else classified.schema.field(name) for name in order]
    return classified.select(order).cast(pa.schema(fields))  # appending forgets that a column has no nulls


def _is_explained(scores: pa.Table, cuts: str) -> np.ndarray:
    """(R,) whether the strands, or a context that is not known, are why a row was abstained on under the rule of ``cuts``."""
    if not is_on_context(cuts):
        return strands_disagree(scores, cuts_from_text(cuts))
    taken = scores["delta_llr"].to_numpy() - scores[DELTA_CONTEXT].fill_null(math.nan).to_numpy()
    return np.isnan(taken) | strands_disagree(scores, cuts_from_text(cuts), np.nan_to_num(taken))


_MADE = ("classification", "abstained")


def _columns_of_rule(old: Identity, rule: ClassRule) -> tuple[str, ...]:
    """The columns of rows that an earlier rule added and that do not stay."""
    of_calibration = CALIBRATED_COLUMNS if "; calibration" in old.cuts else ()
    return (*of_calibration, *(BACKGROUND_COLUMNS if old.background and rule.background else ()))


def _reference(path: str | None, manifest: Mapping[str, Any], identity: Identity) -> Reference | None:
    """The FASTA of the scores; None where it is not at hand.

    Raises:
        SettingsError: ``path`` is another one.
    """
    if path:
        reference = staged_reference(path)
        if reference.digest != identity.reference_digest:
            raise SettingsError(f"{path} is not the FASTA that was scored on: its sequences differ.")
        return reference
    recorded = (manifest.get("resolved") or {}).get("reference")
    try:
        found = staged_reference(recorded) if recorded and exists(recorded) else None
    except RaygenError:
        return None
    return found if found and found.digest == identity.reference_digest else None


def _refuse_other_background(
    background: Background, identity: Identity, reference: Reference | None, folder: str, where: str
) -> None:
    lengths = reference.lengths if reference else {}
    background.refuse_other(identity.fingerprint, identity.reference_digest, lengths, where)
    if background.contexts and reference is None and identity.reference_digest:
        raise SettingsError(
            f"{where} knows contexts, and the FASTA of {folder} is not where its run found it. Give --reference."
        )


def _refuse_clashes(rule: ClassRule, identity: Identity, folder: str) -> None:
    """SettingsError where a column that came with the variants has a name that the rule adds, or the rule needs one that did not."""
    carried = identity.source_columns.split(", ") if identity.source_columns else []
    if clashing := [name for name in carried if name in rule.columns]:
        raise SettingsError(
            f"{folder} has columns of its input called {', '.join(clashing)}, which would be added. Rename them there."
        )
    column = rule.background.facts.group_column if rule.background else None
    if column and column not in carried:
        raise SettingsError(f"The background ranks variants by their {column}, a column that {folder} does not have.")


_NAMES_OF_FIELDS = {
    "fingerprint": "fingerprint",
    "reference_digest": "digest of the reference",
    "cuts": "cut points",
    "source_columns": "source columns",
    "column_types": "types of the source columns",
    "extra_columns": "extra columns",
    "background": "background",
    "embeddings": "embeddings",
}


def _check_target(source: RunFolder, target: RunFolder, identity: Identity) -> None:
    """Refuse a folder that holds other scores; types of source columns that have become wider since become so there, too."""
    existing = target.identity()
    if existing is None or existing == identity:
        return
    types, before = source.carried_types(), target.carried_types()
    is_alike = replace(existing, column_types=identity.column_types) == identity
    if is_alike and all(is_as_wide(types[name], before[name]) for name in types):
        widen(target, types)
        return
    other = [name for name in _NAMES_OF_FIELDS if getattr(existing, name) != getattr(identity, name)]
    old_values, new_values = (
        " and ".join(f"the {_NAMES_OF_FIELDS[name]} {getattr(scores, name) or 'none'}" for name in other)
        for scores in (existing, identity)
    )
    raise SettingsError(
        f"{target.path} holds scores with {old_values}; these would have {new_values}. Give another folder for --out."
    )


def _rewrite(
    source: RunFolder,
    target: RunFolder,
    identity: Identity,
    old: Identity,
    rule: ClassRule,
    reference: Reference | None,
    on_progress: Callable[[int], None],
    heads: Mapping[str, Head],
) -> Reclassified:
    result = Reclassified(target.path, "", dict.fromkeys(CLASSES, 0), {})
    target_files = target.score_files()
    committed = {file.shard for file in target_files} | target.committed_shards(target_files)
    paths: dict[str | None, list[str]] = {}
    for file in target_files:
        paths.setdefault(file.chrom, []).append(file.path)
    for name, rejects in source.reject_files():
        target.commit_rejects(name, rejects)
        for reason in rejects["reason"].to_pylist():
            result.rejects[reason] = result.rejects.get(reason, 0) + 1
    for file in source.score_files():
        scores = source.read_score_file(file)
        with_columns = with_heads(scores, heads, source, file) if heads else scores
        rows = reclassify_rows(with_columns, old, rule, reference.bases if reference else None)
        shards = source.shards_by_run(file)
        shard_names = {file.shard, *(name for of_run in shards.values() for name in of_run)}
        new = _not_among(rows, target, paths.get(file.chrom, [])) if shard_names & committed else rows
        result.already += len(rows) - len(new)
        if len(new) or not shard_names & committed:
            target.commit_shard(file.shard, file.chrom, new, pa.table({}), identity, shards=shards)
        _count(result, scores, rows)
        on_progress(result.rows)
    return result


def _not_among(rows: pa.Table, target: RunFolder, paths: Sequence[str]) -> pa.Table:
    """The rows of one contig that none of these score files of it in ``target`` holds."""
    limits = pc.min_max(rows["pos"]).as_py()
    near = None if limits["min"] is None else (limits["min"], limits["max"])
    ids = target.scored_ids(paths, near=near)["variant_id"].combine_chunks()
    return rows.filter(pc.invert(pc.is_in(rows["variant_id"], value_set=ids)))


def _count(result: Reclassified, before: pa.Table, after: pa.Table) -> None:
    result.rows += len(after)
    result.abstained += pc.sum(after["abstained"]).as_py() or 0
    for name in after["classification"].to_pylist():
        result.classes[name] += 1
    moved = pc.not_equal(before["classification"], after["classification"])
    pairs = zip(
        before["classification"].filter(moved).to_pylist(),
        after["classification"].filter(moved).to_pylist(),
        strict=True,
    )
    for pair in pairs:
        result.changed[pair] = result.changed.get(pair, 0) + 1


def _write_manifest(
    source: RunFolder,
    target: RunFolder,
    original: Mapping[str, Any],
    result: Reclassified,
    old: Identity,
    identity: Identity,
    rule: ClassRule,
    started: datetime,
    heads: Mapping[str, Head],
) -> str:
    """Write the manifest of the run the scores are of, with what was done to them since; returns its path."""
    run_id = new_run_id()
    carried: dict[str, Any] = {
        name: original[name]
        for name in ("fingerprint", "model", "input", "settings", "resolved", "warnings")
        if name in original
    }
    return target.write_manifest(
        run_id,
        {
            **carried,
            "run_id": run_id,
            "status": "done",
            "kind": RECLASSIFIED,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": identity.fingerprint,
            "from": {"folder": source.path, "run_id": original.get("run_id"), "identity": asdict(old)},
            "resolved": {
                **original.get("resolved", {}),
                "cuts": cuts_as_json(rule.cuts),
                "classes_on": rule.on,
                "background": identity.background or None,
            },
            "calibration": summary(rule.calibration.model_dump_json()) if rule.calibration else None,
            "background": rule.background.summary if rule.background else original.get("background"),
            **_heads_in_words(original, heads),
            "counts": {
                "alleles_in": result.rows + result.rejected,
                "scored": result.rows,
                "rejected": result.rejects,
                "num_rejected": result.rejected,
                "already_scored": 0,
                "abstained": result.abstained,
                "classes": result.classes,
                "changed": {f"{before} to {after}": count for (before, after), count in result.changed.items()},
            },
            "started": started.isoformat(timespec="seconds"),
            "versions": versions(),
            "machine": machine(),
        },
    )


def _heads_in_words(original: Mapping[str, Any], heads: Mapping[str, Head]) -> dict[str, Any]:
    """What a manifest says of the heads of a table: those that it had and those that were added; nothing where it has none."""
    described = {**(original.get("heads") or {}), **{name: head.summary for name, head in heads.items()}}
    return {"heads": described} if described else {}


def print_reclassified(result: Reclassified, console: Console) -> None:
    """Print how many rows each class has now, and which rows moved."""
    table = Table("class", "variants", "share", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, count in result.classes.items():
        table.add_row(name, f"{count:,}", f"{count / max(result.rows, 1):.1%}")
    console.print(table)
    moved = sum(result.changed.values())
    lines = [
        f"abstained on: {number_of(result.abstained, 'row')}",
        f"{moved:,} of {number_of(result.rows, 'row')} changed class",
    ]
    for (before, after), count in sorted(result.changed.items(), key=lambda item: -item[1]):
        lines.append(f"  {count:,} from {before} to {after}")
    if result.already:
        lines.append(f"{result.already:,} rows were there already")
    for line in [*lines, f"scores: {result.out}/scores", f"manifest: {result.manifest}"]:
        console.print(line, soft_wrap=True, markup=False)
