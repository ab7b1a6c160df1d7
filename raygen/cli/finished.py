"""Commands that read finished scores: no model, no Ray."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer

from raygen.cli.options import Debug, ReferenceOption, by_commas, command, say, screen, stderr
from raygen.errors import SettingsError
from raygen.number_of import number_of
from raygen.settings import ClassSettings
from raygen.tables.place import refuse_unwritable

ScoresFolder = Annotated[str, typer.Argument(metavar="OUT", help="Folder of a finished run.", show_default=False)]


@command("raygen export scores --to scored.vcf.gz --vcf cohort.vcf.gz")
def export(
    out: ScoresFolder,
    to: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="File to write, by its ending: .vcf.gz, .bcf or .vcf; .tsv.gz or .cadd.tsv.gz with a tabix index; .parquet, .csv or .tsv; "
            "of a position table also .bw or .bedgraph.gz.",
        ),
    ],
    vcf: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="VCF or BCF whose records are annotated; without it each score is a record."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="FASTA", help="FASTA of the scores; default: the one of the run."),
    ] = None,
    contig: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A contig to write; may be repeated. Default: all.")
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHROM:START-END", help="A region to write, 1-based, both ends included; may be repeated."
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="mean|A|C|G|T|all",
            help="What a .bw or .bedgraph shows of a base: the mean of its three changes, which is the default, the change to a letter, "
            "or a file for each.",
            show_default=False,
        ),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Columns of the scores to write, by commas; default: all in a table, the main four in INFO.",
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="What the names of the INFO fields begin with.")
    ] = "raygen_",
    background: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Background (raygen background) that the changes of a position table are ranked against: percentile, phred and the like.",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Write finished scores as an annotated VCF or BCF, an indexed TSV, Parquet or CSV, and a position table as tracks, too."""
    from raygen.finished.export import export_scores, print_export

    chosen = by_commas(fields) if fields else None
    with stderr.status("writing") as status:
        exported = export_scores(
            out,
            to,
            vcf=vcf,
            reference=reference,
            contigs=contig or (),
            regions=region or (),
            track=track,
            fields=chosen,
            prefix=prefix,
            background=background,
            on_progress=lambda count: status.update(f"writing: {count:,} rows"),
        )
    print_export(exported, screen)


@command("raygen query scores 17-43094464-T-C --region 17:43093000-43094000")
def query(
    out: ScoresFolder,
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="VARIANT", help="Variants as chrom-pos-ref-alt, or ids of pairs.", show_default=False),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="CHROM:START-END", help="Region, 1-based, both ends included; may be repeated."),
    ] = None,
    genes: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="FILE NAMES", help="Two values: a BED, GFF3 or GTF file, and names of genes in it, by commas."
        ),
    ] = None,
    vcf: Annotated[
        str | None, typer.Option(metavar="FILE", help="File of variants whose alleles are looked up.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="FASTA", help="FASTA of the scores; default: the one of the run."),
    ] = None,
    tsv: Annotated[bool, typer.Option("--tsv", help="Write all columns, tab-separated, to standard output.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write all columns, as a JSON array, to standard output.")
    ] = False,
    to: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write all columns into a file: .parquet, .csv or .tsv.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Look up finished scores by variant, region, gene or VCF, without loading the rest.

    A variant that is not scored is no error, and the output says so; a contig that is not known is one (exit code 3).
    """
    from raygen.finished.position_query import open_query
    from raygen.finished.query import Asked
    from raygen.finished.query_output import show, write_file, write_json, write_tsv

    if sum([tsv, as_json, to is not None]) > 1:
        raise SettingsError("--tsv, --json and --out exclude each other. Give one of them.")
    if to is not None:
        from raygen.tables.table_files import refuse_other_kinds

        refuse_other_kinds(to, "--out")
        refuse_unwritable(to)
    chosen_genes = (genes[0], by_commas(genes[1])) if genes else None
    lookup = open_query(out, Asked(variants or (), region or (), chosen_genes, vcf, reference))
    if tsv or as_json:
        (write_tsv if tsv else write_json)(lookup, sys.stdout)
    elif to:
        say(f"{number_of(write_file(lookup, to), 'score')}: {to}")
    else:
        show(lookup, screen)
    for remark in lookup.remarks:
        (stderr if tsv or as_json else screen).print(remark, soft_wrap=True, markup=False)


@command("raygen diff scores-of-may scores-of-june --page diff.html")
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Folder of a finished run.", show_default=False)],
    new: Annotated[
        str,
        typer.Argument(
            metavar="NEW", help="Folder of another run: of another model, window or release.", show_default=False
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="File for all variants that changed: .parquet, .csv or .tsv."),
    ] = None,
    page: Annotated[str | None, typer.Option(metavar="FILE", help="HTML file for the comparison as a page.")] = None,
    most: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many changes to show on the screen, the largest first.")
    ] = 20,
    fail_on: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="End with exit code 1 when at least N variants changed class, in position tables moved by more than 1e-5 nats.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Say which variants changed class between two runs, or how far the numbers of two position tables lie apart."""
    if page:
        refuse_unwritable(page)
    compare, print_comparison, write_page = _comparison(old, new)
    with stderr.status("comparing") as status:
        comparison = compare(
            old,
            new,
            changes_to=to,
            most=max(most, 200),
            on_progress=lambda count: status.update(f"comparing: {count:,} variants"),
        )
    print_comparison(comparison, screen, most)
    if to:
        say(f"changes: {to}")
    if page:
        say(f"page: {write_page(comparison, page)}")
    if fail_on is not None and comparison.num_changed >= fail_on:
        raise typer.Exit(1)


def _comparison(old: str, new: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """What compares two folders, prints the comparison and writes its page."""
    from raygen.tables.folder_kinds import holds_positions

    if holds_positions(old) or holds_positions(new):
        from raygen.finished.position_diff import compare_positions, print_position_diff
        from raygen.pages.position_diff_page import write_position_diff_page

        return compare_positions, print_position_diff, write_position_diff_page
    from raygen.finished.diff import compare_scores, print_diff
    from raygen.pages.diff_page import write_diff_page

    return compare_scores, print_diff, write_diff_page


@command("raygen reclassify scores --calibration calibration.json --out reclassified")
def reclassify(
    run: Annotated[str, typer.Argument(help="Folder of a finished run.", metavar="OUT")],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Folder for the same scores with other classes.")],
    cuts: Annotated[
        str | None, typer.Option(metavar="CUTS", help="Four ascending cut points in nats, e.g. -7,-3,-1,1.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(metavar="FILE", help="File of raygen calibrate, for this fingerprint.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File of raygen background: adds percentile, phred and the like. The classes stay unless cuts are given.",
        ),
    ] = None,
    on: Annotated[
        Literal["delta_llr", "phred", "delta_context"],
        typer.Option(help="What --cuts are of; phred: in PHRED, e.g. 0,10,20,30."),
    ] = "delta_llr",
    reference: ReferenceOption = None,
    heads: Annotated[
        str | None,
        typer.Option(
            metavar="HEADS",
            help="Files of raygen head train by commas, for stored embeddings: adds a column head_NAME of each, log-odds.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Give finished scores other classes, or ranks against a background, without a model."""
    if (cuts and calibration) or not (cuts or calibration or background or heads):
        raise SettingsError(
            "Give --cuts or --calibration, or --background or --heads, alone or with one of the first two."
        )
    if on != "delta_llr" and not (cuts and background):
        raise SettingsError(f"--on {on} needs --background and --cuts.")
    points = _cut_points(cuts) if cuts is not None else None
    if on == "phred" and points and points[0] < 0:
        raise SettingsError(f"--cuts {cuts}: PHRED is never below 0. Give the lowest first, e.g. 0,10,20,30.")
    from raygen.classes.background_file import read_background
    from raygen.classes.calibration import load_calibration
    from raygen.classes.head_file import read_heads
    from raygen.finished.reclassify import print_reclassified
    from raygen.finished.reclassify import reclassify as run_reclassify

    loaded = load_calibration(calibration) if calibration else None
    columns_of_heads = read_heads(by_commas(heads)) if heads else {}
    with stderr.status("reclassifying") as status:
        reclassified = run_reclassify(
            run,
            out,
            points,
            loaded,
            calibration or "",
            on_progress=lambda count: status.update(f"reclassifying: {count:,} rows"),
            background=read_background(background) if background else None,
            background_name=background or "",
            on=on,
            reference=reference,
            heads=columns_of_heads,
        )
    print_reclassified(reclassified, screen)
    if columns_of_heads:
        say(f"columns of heads: {', '.join(columns_of_heads)}")


def _cut_points(text: str) -> tuple[float, ...]:
    try:
        return ClassSettings.model_validate({"cuts": [float(word) for word in text.split(",")]}).cuts
    except ValueError as error:  # no number, not four, or not ascending
        raise SettingsError(f"--cuts {text}: give four ascending numbers by commas, e.g. -7,-3,-1,1.") from error
