"""``raygen tabulate``: every single-base change of a reference, or of parts of it, scored once and kept.

A run as any other (``run``): shards through actors, committed one by one, found again by listing, accounted for. Its rows are bases, its
counts are single-base changes, three of each A, C, G or T.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from raygen.errors import SettingsError
from raygen.number_of import number_of
from raygen.pipeline.actor_scorer import ResidentPositionScorer
from raygen.pipeline.cluster import session
from raygen.pipeline.job import ActorScorer, Job
from raygen.pipeline.pieces import FIRST_PIECE
from raygen.pipeline.position_shards import letter_counts, merged_intervals, plan_position_shards
from raygen.pipeline.resolve import describe_model, resolve
from raygen.pipeline.run import RunResult, Say, ShardRun, files_by_contig
from raygen.remote import stage
from raygen.sequence.reference import Reference, reference_name
from raygen.sequence.window_choices import usual_length
from raygen.settings import Settings, WindowSettings
from raygen.tables.layout import RunFolder, ScoreFile
from raygen.tables.position_table import ALTS, KIND, PositionFolder
from raygen.variants.bed import read_bed
from raygen.variants.contig_names import resolve_contig
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.region import Region

if TYPE_CHECKING:
    from raygen.pipeline.build import Stages


@dataclass(frozen=True)
class Parts:
    """What of the reference is scored: contigs and the regions of a BED file; all of it where none is named."""

    contigs: Sequence[str] = ()
    bed: str | None = None


@dataclass(frozen=True)
class TabulateResult:
    """A finished run.

    Attributes:
        letters: how often each letter that is no A, C, G or T stands in what was to be scored.
    """

    run: RunResult
    num_bases: int
    letters: dict[str, int]


def run_tabulate(
    settings: Settings,
    parts: Parts = Parts(),
    say: Say = print,
    make_scorer: Callable[[Job], ActorScorer] = ResidentPositionScorer,
    open_folder: Callable[[str], RunFolder] = PositionFolder,
) -> TabulateResult:
    """Score every single-base change of the settings' reference and return what came of it.

    Args:
        settings: of a run; ``window`` as ``positions_window`` gives it.

    Raises:
        SettingsError, InputError, StoppedError: as ``run_score``.
    """
    began = time.monotonic()
    refuse_other_settings(settings)
    folder = PositionFolder(str(settings.output.path))
    folder.prepare()
    with folder.locked(), ExitStack() as ray_session:
        connect = lambda: ray_session.enter_context(session(settings.cluster.address))  # noqa: E731

        def adapt(job: Job) -> Job:
            identity = replace(job.identity, cuts="")
            a_stride = max((job.window.stride or 0) if job.window else 0, FIRST_PIECE)  # less costs as much
            return replace(
                job,
                identity=identity,
                make_scorer=make_scorer,
                open_folder=open_folder,
                first_piece=a_stride,
                least_piece=a_stride,
            )

        resolved = resolve(settings, folder, connect, adapt)
        for remark in resolved.remarks:
            say(remark)
        run = PositionRun(settings, folder, resolved, say)
        assert resolved.reference is not None, "settings without a reference are refused"
        run.plan(resolved.reference, parts, resolved.files)
        if run.shards:
            connect()
            run.score()
        else:
            say("Nothing is left to score.")
    return TabulateResult(run.finish(time.monotonic() - began), run.num_bases, run.letters)


class PositionRun(ShardRun):
    """The steps of a run over every base.

    Attributes:
        num_bases: to be scored, those of earlier runs included.
        letters: how often each letter that is no A, C, G or T stands beside them.
    """

    alleles_a_row = ALTS
    units = kept_units = "single-base changes"

    def plan(self, reference: Reference, parts: Parts, files: Sequence[ScoreFile]) -> None:
        """Cut what is to be scored into shards, and see which are among the committed ``files``."""
        began = time.monotonic()
        assert self._job.window is not None and self._job.reference is not None
        regions, remarks = regions_of(parts, reference)
        for remark in remarks:
            self._warn(remark)
        identity = f"{reference.digest} {self._job.identity.fingerprint}"
        shards = plan_position_shards(reference, regions, self._job.window, identity, self._job.reference)
        self.num_bases = sum(shard.num_bases for shard in shards)
        self.letters = letter_counts(reference, merged_intervals(regions))
        self._record.totals.counts.alleles_in = self.alleles_a_row * self.num_bases
        self._record.kind = KIND
        self._record.input = {
            "digest": reference.digest,
            "alleles": self.alleles_a_row * self.num_bases,
            "bases": self.num_bases,
            "other_letters": self.letters,
            "contigs": list(parts.contigs),
            "regions": parts.bed,
        }
        self._leave_out(shards, files)
        others = [file for file in files if file.shard not in self._names]
        self._job = replace(self._job, earlier_files=files_by_contig(others))
        self._record.seconds["plan"] = time.monotonic() - began

    def _stages(self) -> Stages:
        from raygen.pipeline.build import OF_POSITIONS

        return OF_POSITIONS


def regions_of(parts: Parts, reference: Reference) -> tuple[list[Region], list[str]]:
    """The regions that are to be scored, and what there is to say of the file that names them.

    Raises:
        SettingsError: a contig that the reference does not have. InputError: as ``read_bed``.
    """
    whole = [Region(chrom, 1, length) for chrom, length in reference.lengths.items() if length]
    if not parts.contigs and parts.bed is None:
        return whole, []
    is_human = human_assembly(reference.lengths) is not None
    named = {name: resolve_contig(name, reference.lengths, is_human=is_human) for name in parts.contigs}
    if unknown := [name for name, chrom in named.items() if chrom is None]:
        raise SettingsError(f"--contig {', '.join(unknown)}: {reference_name(reference)} has no such contig.")
    if parts.bed is None:
        return [region for region in whole if region.chrom in named.values()], []
    bed = read_bed(stage(parts.bed), reference)
    if not named:
        return bed.regions, bed.remarks
    regions = [region for region in bed.regions if region.chrom in named.values()]
    if not regions:
        raise SettingsError(f"{parts.bed} has no region on {', '.join(named)}.")
    return regions, bed.remarks


def refuse_other_settings(settings: Settings, is_plan: bool = False) -> None:
    """Refuse what a position table cannot hold; a plan needs no output.

    Raises:
        SettingsError: an input of variants, classes, extra columns, or a table of another format are asked for, or no reference is named.
    """
    if not settings.input.reference or not (settings.output.path or is_plan):
        raise SettingsError(
            "raygen tabulate needs a reference and a folder for its table: --reference FASTA --out FOLDER."
        )
    refused = {
        "input.variants": settings.input.variants,
        "input.pairs": settings.input.pairs,
        "landing.folder": settings.landing.folder,
        "classes.calibration": settings.classes.calibration,
        "classes.background": settings.classes.background,
        "classes.heads": settings.classes.heads,
        "output.extra_columns": settings.output.extra_columns,
        "embed.layers": settings.embed.layers,
        "scoring.prescored": settings.scoring.prescored,
        "output.table_format": settings.output.table_format if settings.output.table_format != "parquet" else None,
    }
    if named := [name for name, value in refused.items() if value]:
        raise SettingsError(
            f"raygen tabulate scores every base of the reference and writes a table of its own: leave out {', '.join(named)}."
        )


def with_positions_window(settings: Settings, context_length: int | None = None) -> Settings:
    """The settings with the window of a position table, where they do not say another.

    Windows end with the base that is changed (``right`` 1) and lie on a grid whose stride is as long as what is read before it: then a base
    costs two tokens a strand.

    Args:
        context_length: of the model, in bases; None to look.
    """
    window = settings.window
    if context_length is None:
        context_length = describe_model(settings).context_length
    right = window.right or 1
    is_own = "anchor" in window.model_fields_set and window.anchor == "variant"
    if is_own:
        left, stride = window.left, window.stride
    else:
        room = usual_length(context_length) - right
        stride = window.stride or max(min(room - window.left, window.left) if window.left else room // 2, 1)
        left = window.left if window.left is not None else max(min(room - stride, stride), 0)
    values = {"left": left, "right": right, "anchor": "variant" if is_own else "grid", "stride": stride}
    return settings.model_copy(update={"window": WindowSettings(**{**window.model_dump(), **values})})


def in_words(result: TabulateResult) -> list[str]:
    """What came of a run, a sentence a line."""
    counts, run = result.run.counts, result.run
    others = "".join(
        f" + {number:,} {letter}" for letter, number in sorted(result.letters.items(), key=lambda item: -item[1])
    )
    lines = [f"{result.num_bases + sum(result.letters.values()):,} bases = {result.num_bases:,} A, C, G or T{others}"]
    lines += [f"rejected, {reason}: {number:,}" for reason, number in counts.rejected.items()]
    lines += [f"flag {flag}: {number_of(number, 'change')}" for flag, number in sorted(counts.flags.items())]
    lines.append(
        f"{number_of(counts.alleles_in, 'single-base change')} in = {counts.scored:,} scored + {counts.num_rejected:,} rejected "
        f"+ {counts.already_scored:,} already scored"
    )
    if counts.scored and run.scoring_seconds:
        lines.append(
            f"{run.seconds:,.1f} s in all; scoring {run.scoring_seconds:,.1f} s, starting the models included: "
            f"{counts.scored / ALTS / run.scoring_seconds:,.0f} bases/s, {run.tokens / run.scoring_seconds:,.0f} tokens/s"
        )
    return [*lines, f"positions: {run.output}/positions", f"manifest: {run.manifest}"]
