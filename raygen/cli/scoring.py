"""Commands that bring variants in and score them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygen.cli.options import (
    Config,
    Debug,
    ModelOption,
    Out,
    Overrides,
    ReferenceOption,
    VariantsOption,
    command,
    say,
    screen,
    stderr,
)
from raygen.cli.pages import write_run_page
from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.settings import InputSettings, Settings, load_settings, refuse_missing_files, refuse_unknown_model

if TYPE_CHECKING:
    from raygen.variants.ingest import IngestResult
    from raygen.variants.table_columns import TableColumns

_DEFAULTS = InputSettings()


@command("raygen demo --out my-demo")
def demo(
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Folder for the results.")] = "raygen-demo",
    debug: Debug = False,
) -> None:
    """Run the main job on what ships with the package: no network, no GPU."""
    from raygen.demo.main import run_demo
    from raygen.evaluation.consequences import consequence_table, tell_apart
    from raygen.pipeline.summary import print_summary
    from raygen.tables.layout import read_scores

    result = run_demo(Path(out), say=say)
    print_summary(result, screen)
    scores = read_scores(out)
    screen.print(consequence_table(scores))
    separation = tell_apart(scores)
    if separation.auroc is not None and separation.auroc_interval is not None:
        low, high = separation.auroc_interval
        say(
            f"stop_gained against synonymous_variant: AUROC {separation.auroc:.3f} ({low:.3f} to {high:.3f}), "
            f"{separation.num_positive:,} against {number_of(separation.num_negative, 'variant')}"
        )
    write_run_page(result.output, result.run_id)
    program = (
        "raygen" if shutil.which("raygen") else sys.argv[0]
    )  # make demo runs it from .venv, which is not on the PATH
    say(f"\nNext: {program} score --variants YOUR.vcf.gz --reference YOUR.fa --model YOUR_MODEL --out {out}-mine")


@command("raygen ingest cohort.vcf.gz --reference hg38.fa --source-column AF --out ingested")
def ingest(
    vcf: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="VCF, BCF, Parquet, .pvar, .bim, .bgi, CSV or TSV, or folders; or one settings file."
        ),
    ],
    reference: ReferenceOption = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Folder for variants/ and rejects/; not needed with a settings file."
        ),
    ] = None,
    max_allele_length: Annotated[
        int, typer.Option(min=1, metavar="BASES", help="Alleles of more bases are rejected.")
    ] = 1000,
    source_column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="INFO field or column to carry through to the scores; may be repeated."),
    ] = None,
    haplotype_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="INFO field or column that names an allele's haplotype; its alleles are scored together, too.",
        ),
    ] = None,
    max_mismatch_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Share of a file's REF alleles on a contig that may differ from the reference.",
        ),
    ] = _DEFAULTS.max_mismatch_share,
    max_unknown_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help="Share of a file's alleles that may be on contigs which the reference lacks.",
        ),
    ] = _DEFAULTS.max_unknown_share,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN",
            help="Which column of tables holds chrom, pos, ref, alt or id, where it is not called so; may be repeated.",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of tables that holds all of it, like 1-55051215-G-GA."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say what each file was recognised as, and how columns are taken; read no more."
        ),
    ] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Normalise and check the variants of VCF, BCF, Parquet, PLINK, BGEN-index or CSV files, and write them as Parquet, beside those rejected.

    With a settings file its input is read, and goes where `raygen score` with the same file looks for it.
    """
    if vcf[0].endswith((".yaml", ".yml")):
        limits = {
            "max_allele_length": max_allele_length,
            "max_mismatch_share": max_mismatch_share,
            "max_unknown_share": max_unknown_share,
        }
        others = (
            len(vcf) > 1,
            source_column,
            haplotype_column,
            column,
            id_column,
            InputSettings(**limits) != _DEFAULTS,
        )
        if any(others):
            raise SettingsError(f"{vcf[0]} is a settings file: say the rest in it, or with --set.")
        if explain:
            settings = load_settings(vcf[0], overrides or [], complete=False)
            _explain(settings.input.variants or [], settings.input.table_columns)
            return
        _ingest_settings(vcf[0], reference, out, overrides)
        return
    columns = {"input.columns": _named_columns(column or []), "input.id_column": id_column}
    table_columns = load_settings(None, given=columns, complete=False).input.table_columns
    if explain:
        _explain(vcf, table_columns)
        return
    if not reference or not out or overrides:
        raise SettingsError("raygen ingest VCF... needs --reference and --out; --set goes with a settings file.")
    from raygen.remote import stage
    from raygen.sequence.reference import open_reference
    from raygen.variants.ingest import ingest as run_ingest

    with _settings_named_as_flags():
        _ingest_with_progress(
            lambda on_progress: run_ingest(
                [stage(path) for path in vcf],
                open_reference(stage(reference)),
                Path(out),
                max_allele_length=max_allele_length,
                source_columns=source_column or [],
                haplotype_column=haplotype_column,
                max_mismatch_share=max_mismatch_share,
                max_unknown_share=max_unknown_share,
                table_columns=table_columns,
                on_progress=on_progress,
            )
        )


def _named_columns(texts: Sequence[str]) -> dict[str, str]:
    """``NAME=COLUMN`` as a mapping."""
    named: dict[str, str] = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not (name and equals and column) or name in named:
            raise SettingsError(f"--column {text!r}: write it as NAME=COLUMN, e.g. --column pos=BP, each name once.")
        named[name] = column
    return named


def _explain(paths: Sequence[str], columns: TableColumns) -> None:
    from raygen.remote import stage
    from raygen.variants.inputs import explained, find_inputs

    for line in explained(find_inputs([stage(path) for path in paths]), columns):
        say(line)


@contextmanager
def _settings_named_as_flags() -> Iterator[None]:
    """Errors name the flags of a command that has no settings."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for flag in ("max-mismatch-share", "max-unknown-share"):
            message = message.replace(f"input.{flag.replace('-', '_')}", f"--{flag}")
        raise InputError(message) from error


def _ingest_settings(config: str, reference: str | None, out: str | None, overrides: list[str] | None) -> None:
    settings = load_settings(config, overrides or [], {"input.reference": reference})
    refuse_missing_files(settings)
    from raygen.pipeline.intake import prepare_input

    _ingest_with_progress(lambda on_progress: prepare_input(settings, out, on_progress))


def _ingest_with_progress(work: Callable[[Callable[[int], None]], IngestResult]) -> None:
    from raygen.pipeline.summary import print_ingest

    with stderr.status("reading") as status:
        result = work(lambda count: status.update(f"reading: {number_of(count, 'record')}"))
    print_ingest(result, screen)


@command("raygen score --variants cohort.vcf.gz --reference hg38.fa --model my-checkpoint --out scores")
def score(
    config: Config = None,
    variants: VariantsOption = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Parquet with pair_id, wt_sequence, mut_sequence, instead of --variants; may be repeated.",
        ),
    ] = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score variants, or pairs of sequences, and write a classified table."""
    _refuse_variants_as_config(config)
    flags = {
        "input.variants": variants or None,
        "input.pairs": pairs or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": out,
    }
    run(load_settings(config, overrides or [], flags))


def run(settings: Settings) -> None:
    """Run a scoring job and print its summary."""
    if settings.landing.folder:
        raise SettingsError("landing.folder is the input of `raygen nightly`; give input.variants or input.pairs here.")
    refuse_missing_files(settings)  # before torch and ray are imported, which takes seconds
    refuse_unknown_model(settings)
    from raygen.pipeline.run import run_score
    from raygen.pipeline.summary import print_summary

    result = run_score(settings, say=say)
    print_summary(result, screen)
    write_run_page(result.output, result.run_id)


def _refuse_variants_as_config(config: str | None) -> None:
    if config and config.endswith((".vcf", ".gz", ".bgz", ".bcf", ".parquet")):
        raise SettingsError(
            f"{config} stands where the settings file does. Write --variants {config}, once for each file."
        )
