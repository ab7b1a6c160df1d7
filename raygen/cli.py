"""The command line: parse, check, call, print counts, exit code. Nothing is computed here.

Exit codes: 0 done; 2 the command or the settings are wrong; 3 the input cannot be used; 4 the run stopped before
everything was done and can be resumed by the same command.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from raygen.errors import Interrupted, RaygenError, RunInterrupted, SettingsError, StoppedError
from raygen.settings import Settings, dump_settings, load_settings, refuse_missing_files
from raygen.version import __version__

app = typer.Typer(
    help="Rescore genomic variants with DNA language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at a settings file without running it.", no_args_is_help=True)
app.add_typer(config_app, name="config")

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

Config = Annotated[str | None, typer.Argument(help="Settings as YAML; flags and --set go over it.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="One setting, e.g. --set window.left=1024.")]
Out = Annotated[str | None, typer.Option("--out", help="Folder for the results.")]
ReferenceOption = Annotated[
    str | None, typer.Option("--reference", help="FASTA of the variants' assembly, plain or bgzip.")
]
VariantsOption = Annotated[
    list[str] | None, typer.Option("--variants", help="Parquet or VCF, files or folders; may be repeated.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="demo, a folder with a checkpoint, or a hub id.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.command()
def demo(
    out: Annotated[str, typer.Option("--out", help="Folder for the results.")] = "raygen-demo",
    debug: Debug = False,
) -> None:
    """Run the main job on what ships with the package: no network, no GPU."""
    from raygen.demo.main import run_demo
    from raygen.interpret.summary import print_summary

    result = run_demo(Path(out), say=_say)
    print_summary(result, _out)
    _say(f"\nNext: raygen score --variants YOUR.vcf.gz --reference YOUR.fa --model YOUR_MODEL --out {out}-mine")


@app.command()
def ingest(
    vcf: Annotated[list[str], typer.Argument(help="VCF, VCF.gz or BCF files, or Parquet; several at once.")],
    reference: Annotated[str, typer.Option("--reference", help="FASTA of the variants' assembly, plain or bgzip.")],
    out: Annotated[str, typer.Option("--out", help="Folder for variants/ and rejects/.")],
    max_allele_length: Annotated[int, typer.Option(min=1, help="Longer alleles are rejected, in bases.")] = 1000,
    source_column: Annotated[
        list[str] | None, typer.Option(help="INFO field or column to carry along; may be repeated.")
    ] = None,
    haplotype_column: Annotated[
        str | None, typer.Option(help="INFO field or column that names an allele's haplotype.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Turn VCF, VCF.gz or BCF into normalised, checked VARIANTS (and REJECTS) in Parquet."""
    from raygen.interpret.summary import print_ingest
    from raygen.sequence.reference import open_reference
    from raygen.variants.ingest import ingest as run_ingest

    with _err.status("reading") as status:
        result = run_ingest(
            vcf,
            open_reference(reference),
            Path(out),
            max_allele_length=max_allele_length,
            source_columns=source_column or [],
            haplotype_column=haplotype_column,
            on_progress=lambda count: status.update(f"reading: {count:,} records"),
        )
    print_ingest(result, _out)


@app.command()
def score(
    config: Config = None,
    variants: VariantsOption = None,
    pairs: Annotated[list[str] | None, typer.Option(help="Parquet with pair_id, wt_sequence, mut_sequence.")] = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score variants, or pairs of sequences, and write a classified table."""
    _refuse_variants_as_config(config)
    given = {
        "input.variants": variants or None,
        "input.pairs": pairs or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": out,
    }
    run(load_settings(config, overrides or [], given))


def run(settings: Settings) -> None:
    """Run a scoring job and print its summary."""
    refuse_missing_files(settings)  # before torch and ray are imported, which takes seconds
    from raygen.interpret.summary import print_summary
    from raygen.pipeline.run import run_score

    print_summary(run_score(settings, say=_say), _out)


@app.command()
def plan(
    config: Config = None,
    variants: VariantsOption = None,
    reference: ReferenceOption = None,
    model: ModelOption = None,
    out: Out = None,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Count the tokens a run would read, by two passes and by fork, without running it."""
    from raygen.interpret.summary import print_estimate
    from raygen.pipeline.estimate import estimate

    given = {
        "input.variants": variants or None,
        "input.reference": reference,
        "model.name": model,
        "output.path": out,
    }
    print_estimate(estimate(load_settings(config, overrides or [], given)), _out)


@app.command()
def saturate(
    region: Annotated[str, typer.Option(help="chrom:start-end, 1-based, both ends included, as samtools.")],
    reference: Annotated[str, typer.Option("--reference", help="FASTA of the region's assembly, plain or bgzip.")],
    model: ModelOption = None,
    out: Annotated[str, typer.Option("--out", help="Folder for the results.")] = "raygen-saturation",
    deletions: Annotated[bool, typer.Option("--deletions", help="Every deletion of one base, too.")] = False,
    overrides: Overrides = None,
    debug: Debug = False,
) -> None:
    """Score every change of one base in a region, and draw position by base."""
    from raygen.interpret.saturation import print_most_negative
    from raygen.interpret.summary import print_summary
    from raygen.pipeline.saturate import run_saturation

    given = {"input.reference": reference, "model.name": model}
    done = run_saturation(region, deletions, overrides or [], given, out, say=_say)
    print_summary(done.run, _out)
    print_most_negative(done.saturation, _out)
    _say(f"picture: {done.page}")


@app.command("compare-windows")
def compare_windows(
    variants: Annotated[list[str], typer.Option(help="Parquet or VCF, files or folders; may be repeated.")],
    reference: Annotated[str, typer.Option("--reference", help="FASTA of the variants' assembly, plain or bgzip.")],
    model: Annotated[str, typer.Option(help="demo, a folder with a checkpoint, or a hub id.")] = "demo",
    sample: Annotated[int, typer.Option(min=2, help="Variants to score under each window.")] = 200,
    windows: Annotated[
        str, typer.Option(help="left+right or left+right@stride, by commas; the first is the baseline.")
    ] = "",
    strand: Annotated[
        Literal["forward", "reverse", "both"], typer.Option(help="both: the mean of the two.")
    ] = "forward",
    circular: Annotated[list[str] | None, typer.Option(help="A contig without ends; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    out: Annotated[str | None, typer.Option("--out", help="JSON file for the table.")] = None,
    debug: Debug = False,
) -> None:
    """Score a sample of variants under several windows: how far ranks and classes agree, and what each costs."""
    from raygen.interpret.compare_windows import print_comparison
    from raygen.pipeline.window_comparison import (
        ComparisonRequest,
        refuse_unwritable,
        run_comparison,
        write_comparison,
    )

    if out:
        refuse_unwritable(out)
    words = [word for word in windows.split(",") if word.strip()]
    request = ComparisonRequest(variants, reference, model, words, sample, seed, strand, circular or [], device)
    comparisons = run_comparison(request, say=_say)
    print_comparison(comparisons, _out)
    if out:
        write_comparison(comparisons, request, out)
        _say(f"table: {out}")


@app.command()
def doctor(
    model: Annotated[str, typer.Option(help="The model to try.")] = "demo",
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    debug: Debug = False,
) -> None:
    """Check versions, devices, memory, and whether a model loads and scores a pair."""
    from raygen.doctor import examine

    findings = examine(model, device)
    for finding in findings:
        mark = "[green]ok[/]  " if finding.good else "[red]FAIL[/]"
        _out.print(f"{mark} {finding.what}: {escape(finding.says)}", soft_wrap=True)
    if not all(finding.good for finding in findings):
        raise typer.Exit(3)


@config_app.command("show")
def config_show(config: Config = None, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print the settings with every default written out."""
    _out.print(escape(dump_settings(load_settings(config, overrides or [], complete=False))), end="", soft_wrap=True)


@config_app.command("check")
def config_check(config: Config = None, overrides: Overrides = None, debug: Debug = False) -> None:
    """List every fault of a settings file, without running it."""
    refuse_missing_files(load_settings(config, overrides or []))
    _say(f"{config or 'The settings'}: nothing to put right.")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        _out.print(f"raygen {__version__}")
        raise typer.Exit


def _refuse_variants_as_config(config: str | None) -> None:
    if config and config.endswith((".vcf", ".gz", ".bgz", ".bcf", ".parquet")):
        raise SettingsError(
            f"{config} stands where the settings file does. Write --variants {config}, once for each file."
        )


def _say(line: str) -> None:
    _out.print(escape(line), soft_wrap=True)


def main() -> None:
    """The console script: turns every error a user can meet into a sentence and an exit code."""
    debug = "--debug" in sys.argv
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except RaygenError as error:
        _fail(error, debug)
    except Interrupted:
        _fail(StoppedError("Stopped. What is committed stays; nothing else was written."), debug)
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:  # Ray's own answer to SIGTERM, while it starts
            raise
        _fail(StoppedError("Stopped. What is committed stays; nothing else was written."), debug)
    except SystemError as error:
        if not _was_interrupted(error):
            raise
        _fail(StoppedError("Stopped. What is committed stays; nothing else was written."), debug)
    except OSError as error:
        _fail(SettingsError(f"{error.filename or 'A file'}: {error.strerror or error}."), debug)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether a signal came while compiled code ran that takes it for an error of its own (Ray, while it starts)."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__ or error.__context__
    return error is not None


def _interrupt(number: int, frame: FrameType | None) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)  # a second one would break into the stopping; SIGKILL is always there
    raise Interrupted(signal.Signals(number).name)


def _fail(error: RaygenError, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    _err.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    if isinstance(error, RunInterrupted):
        sys.stderr.flush()
        os._exit(error.exit_code)  # Ray's threads are at work; its processes notice that this one is gone
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
