"""Commands that read finished scores: no model, no Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import Debug, app, screen, stderr

ScoresFolder = Annotated[str, typer.Argument(metavar="OUT", help="Folder of a finished run.", show_default=False)]


@app.command()
def export(
    out: ScoresFolder,
    to: Annotated[
        str, typer.Option(help="File: .vcf.gz, .bcf or .vcf; .tsv.gz with a tabix index; .parquet, .csv or .tsv.")
    ],
    vcf: Annotated[
        str | None, typer.Option(help="VCF or BCF whose records are annotated; without it each score is a record.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="FASTA of the scores, where it is not where the run had it.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option(help="Columns of the scores, by commas; tables have all, INFO the main four.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Of the names in INFO.")] = "raygen_",
    debug: Debug = False,
) -> None:
    """Write finished scores as an annotated VCF or BCF, an indexed TSV, Parquet or CSV."""
    from raygen.interpret.export import export_scores, print_export

    chosen = [name.strip() for name in fields.split(",") if name.strip()] if fields else None
    with stderr.status("writing") as status:
        done = export_scores(
            out,
            to,
            vcf=vcf,
            reference=reference,
            fields=chosen,
            prefix=prefix,
            on_progress=lambda count: status.update(f"writing: {count:,} rows"),
        )
    print_export(done, screen)
