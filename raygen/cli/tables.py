"""Commands that keep a table over many nights."""

from __future__ import annotations

from typing import Annotated

import typer

from raygen.cli.options import (
    Debug,
    command,
    say,
)
from raygen.errors import InputError, SettingsError
from raygen.number_of import number_of
from raygen.remote import shown


@command("raygen compact scores")
def compact(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of a run, or of nights.")],
    rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How many rows a file should hold; default: 524,288, and 1,048,576 of a position table.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also rewrite files that are large enough.")] = False,
    debug: Debug = False,
) -> None:
    """Merge many small files of scores into fewer, larger, sorted ones, in one step for readers."""
    from raygen.tables.compact import compact as run_compact
    from raygen.tables.fingerprints import table_paths
    from raygen.tables.position_table import table_folder

    for path in table_paths(out):
        contigs, table = run_compact(path, rows, full), shown(path)
        if not contigs:
            say(f"{table}: nothing to merge")
            continue
        before, after = (
            sum(contig.files_before for contig in contigs),
            sum(contig.files_after for contig in contigs),
        )
        rewritten = sum(contig.rows_rewritten for contig in contigs)
        say(
            f"{table}: {number_of(rewritten, 'row')} rewritten in {number_of(len(contigs), 'contig')}; "
            f"files: {before:,} before, {after:,} now"
        )
        part = f"{table}/{table_folder(path).rows}"
        say(f"table: {part}; give other tools this folder, or {part}/**/*.parquet, and not all of {table}")


@command("raygen verify scores")
def verify(
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder of a run, or of nights.")],
    debug: Debug = False,
) -> None:
    """Check checksums, schema, order, uniqueness and conservation of a table, and list every fault (exit code 3)."""
    from raygen.tables.fingerprints import table_paths
    from raygen.tables.verify import verify as run_verify

    faults = 0
    for path in table_paths(out):
        verification = run_verify(path)
        faults += len(verification.faults)
        for fault in verification.faults:
            say(f"{fault.where}: {fault.what}")
        back = f", of which {verification.num_rolled_back:,} rolled back" if verification.num_rolled_back else ""
        say(
            f"{verification.path}: {number_of(verification.num_files, 'file')}, {number_of(verification.num_rows, 'row')}, "
            f"{number_of(verification.num_rejects, 'reject')}, {number_of(verification.num_runs, 'run')}{back}; "
            f"{number_of(len(verification.faults), 'fault')}"
        )
    if faults:
        raise InputError(f"{number_of(faults, 'fault')} in {shown(out)}, listed above.")


@command("raygen rollback scores --run 20261121T213045Z-3f2a9c")
def rollback(
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of a run, or of one table of nights (OUT/fingerprint).")
    ],
    run: Annotated[
        str,
        typer.Option(
            "--run", metavar="RUN_ID", help="The run that is taken back, with all after it; its name is in OUT/runs."
        ),
    ],
    debug: Debug = False,
) -> None:
    """Remove the rows of a run and of every later one, from the files and from the Iceberg table."""
    from raygen.tables.fingerprints import table_paths
    from raygen.tables.rollback import rollback as run_rollback

    paths = table_paths(out)
    if len(paths) > 1:
        raise SettingsError(f"{shown(out)} holds {len(paths)} tables. Name one: {', '.join(map(shown, paths))}.")
    rolled_back = run_rollback(paths[0], run)
    amount = f"{number_of(rolled_back.num_rows, 'row')} of {number_of(len(rolled_back.runs), 'run')}"
    say(f"Taken back: {amount}: {', '.join(rolled_back.runs)}")
    say("Their manifests stay as the table's history and say so.")
    if rolled_back.snapshot:
        say(f"Iceberg: {rolled_back.snapshot}")
    if rolled_back.files:
        say(
            f"The next night takes these landing files again, unless you take them away: {', '.join(rolled_back.files)}"
        )
