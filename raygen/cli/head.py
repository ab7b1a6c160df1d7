"""The commands of heads: small models on a run's stored embeddings."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from raygen.cli.evaluation import Cluster, GeneColumn, Reference, Replicates
from raygen.cli.options import (
    Debug,
    Group,
    LabelColumn,
    LabelField,
    Negative,
    Positive,
    app,
    by_commas,
    command,
    label_name,
    say,
    screen,
)
from raygen.errors import SettingsError
from raygen.tables.place import refuse_unwritable

heads = typer.Typer(help="Train a small model on embeddings, or show one.", cls=Group, no_args_is_help=True)
app.add_typer(heads, name="head")

_EXAMPLE = "raygen head train --scores OUT --labels clinvar.vcf.gz --label-field CLNSIG --out missense"


@command(_EXAMPLE, on=heads)
def train(
    scores: Annotated[str, typer.Option(metavar="FOLDER", help="Folder of a run with stored embeddings.")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File for the head's numbers; FILE.json, what it is. Its column is head_ and the file's name.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="FILE", help="VCF, BCF or table with the labels; default: the scores' own columns."
        ),
    ] = None,
    label_field: LabelField = None,
    label_column: LabelColumn = None,
    positive: Positive = "",
    negative: Negative = "",
    layer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Layer whose states it reads; default: the only one that the run stored."),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(metavar="NAME", help="Pool that it reads; default: the only one that the run stored.")
    ] = None,
    strands: Annotated[
        Literal["mean", "concat"],
        typer.Option(help="Both strands averaged, which leaves half as many numbers to learn, or side by side."),
    ] = "mean",
    feature: Annotated[
        Literal["concat", "absdiff"],
        typer.Option(help="States of WT and MUT less WT; or the latter's amount, for labels that know no REF and ALT."),
    ] = "concat",
    beside: Annotated[
        str, typer.Option("--with", metavar="NAMES", help="What it also reads, by commas: delta_llr, consequence.")
    ] = "",
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="How many folds it is tested by.")] = 5,
    random_rows: Annotated[
        bool,
        typer.Option(
            "--random-rows",
            help="Test it by folds of sites drawn at random: neighbours are on both sides, the result flatters, and the head says so.",
        ),
    ] = False,
    cluster: Cluster = "auto",
    gene_column: GeneColumn = None,
    consequence_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column with consequences; default: consequence, MC and the like."),
    ] = None,
    reference: Reference = None,
    labels_licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Licence of the labels, which the head keeps.")
    ] = None,
    bootstrap: Replicates = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of folds and of bootstrap replicates.")] = 0,
    debug: Debug = False,
) -> None:
    """Train a linear model on stored embeddings, and test it on chromosomes, genes or windows that it has not seen."""
    from raygen.classes.head_file import column_of_head, write_head
    from raygen.evaluation.evaluation_text import print_join
    from raygen.evaluation.head_fit import TrainPlan, train_head
    from raygen.evaluation.head_rows import WITH, StateChoice
    from raygen.evaluation.head_text import print_head
    from raygen.evaluation.labelled_scores import LabelRequest

    column = column_of_head(out)
    refuse_unwritable(out, f"{out}.json")
    if unknown := [name for name in by_commas(beside) if name not in WITH]:
        raise SettingsError(f"--with {unknown[0]}: it can be {' or '.join(WITH)}, or both by a comma.")
    request = LabelRequest(
        scores=scores,
        label=label_name(label_field, label_column),
        labels=labels,
        positive=by_commas(positive),
        negative=by_commas(negative),
        reference=reference,
        gene_column=gene_column,
        consequence_column=consequence_column,
    )
    plan = TrainPlan(
        states=StateChoice(layer, pool, strands, feature, by_commas(beside)),
        num_folds=folds,
        seed=seed,
        cluster=cluster,
        random_rows=random_rows,
        replicates=bootstrap,
        labels_licence=labels_licence,
    )
    trained = train_head(request, plan)
    numbers = trained.numbers
    print_join(trained.labelled, screen)
    head = write_head(
        out, trained.facts, numbers.centre, numbers.scale, numbers.weight, numbers.intercept, trained.training_sites
    )
    print_head(head.facts, head.digest, screen)
    say(f"head {head.digest}: {out} and {out}.json; its column will be {column}")


@command("raygen head show missense", on=heads)
def show(
    head: Annotated[str, typer.Argument(metavar="HEAD", help="File of `raygen head train`.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known of it as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a head reads, how it was tested, and what it is worth beside the score."""
    import json

    from raygen.classes.head_file import read_head

    shown = read_head(head)
    if as_json:
        say(json.dumps({"digest": shown.digest, **shown.facts.model_dump(mode="json")}, indent=2, ensure_ascii=False))
    else:
        from raygen.evaluation.head_text import print_head

        print_head(shown.facts, shown.digest, screen)
