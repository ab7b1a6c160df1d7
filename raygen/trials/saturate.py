"""In-silico mutagenesis: every change of one base in a region, scored as any other run.

The variants are written below ``OUT/input`` and go through ``run_score``, so tables, resume and conservation are those of
every run. Neighbours share nearly all that is read before them, so the window is on a grid unless the settings say
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.pipeline.resolve import describe_model
from raygen.pipeline.run import RunResult, Say, run_score
from raygen.sequence.reference import staged_reference
from raygen.sequence.window_choices import grid_window
from raygen.settings import Settings, WindowSettings, load_settings
from raygen.tables.folder_kinds import refuse_file_for_output
from raygen.tables.layout import read_scores
from raygen.tables.place import make_folder, put_in_place
from raygen.tables.schemas import variant_ids
from raygen.trials.every_change import saturating_variants
from raygen.trials.saturation import Saturation, lay_out
from raygen.variants.region import Region, parse_region


@dataclass(frozen=True)
class SaturationRun:
    """A finished run over a region."""

    run: RunResult
    saturation: Saturation
    facts: Mapping[str, str]
    """What a page says above the picture."""


def run_saturation(
    region_text: str,
    deletions: bool,
    overrides: Sequence[str],
    flags: Mapping[str, str | None],
    out: str,
    say: Say = print,
) -> SaturationRun:
    """Score every change of a region and lay the deltas out by position.

    Args:
        overrides, flags: settings, as ``load_settings`` takes them; input and output are set here.

    Raises:
        SettingsError, InputError, StoppedError: as ``run_score``, and where the region is not one.
    """
    if "://" in out:
        raise SettingsError(f"--out {out}: the picture is written to a folder of this machine. Give one.")
    refuse_file_for_output(out)
    variants_file = Path(out) / "input" / "variants.parquet"
    ours = {"input.variants": [str(variants_file)], "output.path": out}
    loaded = load_settings(
        None, overrides, {**flags, **ours}, complete=False
    )  # on_a_grid fills a window that is not whole
    _refuse_other_input(loaded)
    settings = on_a_grid(loaded)
    reference = staged_reference(str(settings.input.reference))
    region = parse_region(region_text, reference)
    variants = saturating_variants(region, reference, deletions)
    if not len(variants):
        raise InputError(f"--region {region_text}: the reference holds no A, C, G or T there.")
    _write(variants, variants_file)
    say(f"{number_of(len(variants), 'variant')} of {region}: {variants_file}")
    run = run_score(settings, say)
    letters = reference.bases(region.chrom)[region.start - 1 : region.end].tobytes().decode()
    scores = _scores(out, region)
    deltas = dict(zip(scores["variant_id"].to_pylist(), scores["delta_llr"].to_pylist(), strict=True))
    saturation = lay_out(region.chrom, region.start, letters, variants, deltas)
    return SaturationRun(run, saturation, _facts(settings, scores, variants))


def _refuse_other_input(settings: Settings) -> None:
    other_inputs = {"input.pairs": settings.input.pairs, "landing.folder": settings.landing.folder}
    if others := [name for name, value in other_inputs.items() if value]:
        raise SettingsError(f"raygen saturate makes its own variants: leave out {' and '.join(others)}.")


def on_a_grid(settings: Settings) -> Settings:
    """The settings with a window on a grid that suits the model, unless they ask for a window a variant."""
    window = settings.window
    if window.anchor == "variant" and "anchor" in window.model_fields_set:
        return settings
    grid = grid_window(describe_model(settings).context_length, window.left, window.right, window.stride)
    values = {"left": grid.left, "right": grid.right, "anchor": "grid", "stride": grid.stride}
    return settings.model_copy(update={"window": WindowSettings(**{**window.model_dump(), **values})})


def _write(variants: pa.Table, path: Path) -> None:
    make_folder(path.parent)
    with put_in_place(path) as partial:
        pq.write_table(variants.select(["chrom", "pos", "ref", "alt"]), partial)


def _scores(out: str, region: Region) -> pa.Table:
    """The scores of a folder that are on the region's contig; what belongs to the region is found by variant id."""
    scores = read_scores(out)
    return scores.filter(pc.equal(scores["chrom"], region.chrom))


def _facts(settings: Settings, scores: pa.Table, variants: pa.Table) -> dict[str, str]:
    """What the page says above the picture."""
    window = settings.window
    mine = set(variant_ids(variants).to_pylist()) & set(scores["variant_id"].to_pylist())
    grid = f", on a grid of {window.stride:,}" if window.stride else ""
    facts = {
        "variants": f"{len(mine):,} scored of {len(variants):,}",
        "model": settings.model.name,
        "window": f"{window.left:,}+{window.right:,} bases{grid}" if window.left and window.right else "the default",
        "strand": window.strand,
        "fingerprint": scores["fingerprint"][0].as_py() if len(scores) else "",
        "reference": Path(str(settings.input.reference)).name,
    }
    if settings.model.name == "demo":
        facts["note"] = (
            "The demo's model is small and knows animal mitochondria only: for trying the software, not for patients."
        )
    return facts
