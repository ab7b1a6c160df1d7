"""The report: a run's folder in, a page about the run and all scores of the folder out, beside its manifest.

It has two scripts, which draw its charts and sort its table: thousands of variants are looked at with the pointer, and searched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow.dataset as ds

from raygen.classes.background import BACKGROUND_COLUMNS
from raygen.classes.classify import CLASSES, cuts_from_json
from raygen.classes.words import (
    CAVEAT,
    MINUS,
    all_class_words,
    class_range,
    class_words,
    measure,
    phred_cuts,
    range_with_unit,
)
from raygen.errors import InputError
from raygen.pages import report_charts as charts
from raygen.pages.chart_style import Figure, vega_script
from raygen.pages.page import Page, page_part, render
from raygen.pages.palette import css_class
from raygen.pages.position_report import position_page
from raygen.pages.rank_tally import FEWEST_VARIANTS, MAX_GENES, PERCENTILE_BINS, SEVERE
from raygen.pages.report_charts import along_contigs
from raygen.pages.report_facts import (
    background_words,
    cost,
    headline,
    is_reclassified,
    notices,
    what_was_run,
    window_words,
)
from raygen.pages.tally import MAX_INDELS, MAX_SUBSTITUTIONS, Tally, tally_scores
from raygen.pages.variant_words import FLAG_WORDS, REASON_WORDS, allele, kind, number, variant_words
from raygen.tables.fingerprints import no_scores, tables_inside
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.layout import RunFolder
from raygen.tables.position_table import KIND as POSITIONS
from raygen.tables.schemas import COUNTED_ONLY, SCORES
from raygen.variants.contig_names import contig_order

REPORT = "report.html"
_COLUMNS_SHOWN = ("gene", "consequence")
_MOST_GENES = 30


@dataclass(frozen=True)
class _FigureSection:
    id: str
    title: str
    note: str
    figures: Sequence[Figure]
    strips: bool = False
    legend: bool = False


def render_page(
    manifest: Mapping[str, Any], tally: Tally, examples: Mapping[str, str], price_per_hour: float | None = None
) -> str:
    """The report of a run and its folder's scores, as HTML.

    Args:
        manifest: the manifest as the run wrote it.
        examples: for each reason of rejection one rejected allele in words.
        price_per_hour: price of an hour of all that the run held, in any currency.
    """
    cuts, on = cuts_from_json(manifest["resolved"]["cuts"]), manifest["resolved"].get("classes_on")
    sections = _figure_sections(manifest, tally, cuts, on)
    numbered, specs = _numbered(sections)
    return render(
        "report.html.j2",
        _frame(manifest, tally, sections),
        scripts=(vega_script(), page_part("report.js")),
        data=specs,
        tiles=headline(manifest, tally),
        classes=_classes(tally, cuts, on) if tally.rows else [],
        measure=measure(on),
        conservation=_conservation(manifest, tally),
        background=_background(manifest, tally),
        genes=_genes(tally),
        figure_sections=numbered,
        variants_note=_variants_note(tally),
        **_table(tally, cuts, on),
        rejects=_accounts(manifest["counts"]["rejected"], REASON_WORDS, examples),
        flags=_accounts(tally.flags, FLAG_WORDS, {}, first="off_label_domain"),
        facts=what_was_run(manifest),
        cost=cost(manifest, price_per_hour),
        meanings=_classes(tally, cuts, on),
        caveat=CAVEAT,
    )


def _frame(manifest: Mapping[str, Any], tally: Tally, sections: Sequence[_FigureSection]) -> Page:
    """What stands around the report's sections: headings, links, and what to know first."""
    window, strand = window_words(manifest["resolved"]["window"]), manifest["resolved"]["strand"]
    started = manifest["started"][:16].replace("T", " ")
    parts = [("summary", "Summary"), *((section.id, section.title) for section in sections)]
    parts += [("genes", "Genes")] * bool(tally.ranks and tally.ranks.genes)
    parts += [("variants", "Most negative variants")] * bool(tally.rows) + [("accounts", "Rejects and flags")]
    parts += [("run", "What was run"), ("reading", "How to read this")]
    title = f"{tally.rows:,} variant{'s' * (tally.rows != 1)} scored by {manifest['model']['name']}"
    return Page(
        command="report",
        title=title,
        heading=title,
        under=f"{window[:1].upper()}{window[1:]}; strand {strand}; fingerprint {manifest['fingerprint']}; "
        f"run of {started} UTC",
        sections=parts,
        notices=notices(manifest),
        source=f" from {manifest['run_id']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _figure_sections(
    manifest: Mapping[str, Any], tally: Tally, cuts: Sequence[float], on: str | None
) -> list[_FigureSection]:
    """The sections of charts that there are data for, in the order of the page."""
    sections: list[_FigureSection] = []
    if tally.rows:
        sections.append(
            _FigureSection("distribution", "Distribution of delta_llr", "", [charts.distribution(tally, cuts, on)])
        )
        if tally.ranks and len(tally.ranks.phred):
            note = f"Ranks are against the {background_words(manifest['background'])}."
            sections.append(_FigureSection("ranks", "Ranks", note, [charts.ranks(tally.ranks.phred)]))
        by_consequence = charts.by_consequence(tally)
        note = (
            "Where an annotator joined several consequences, the first one counts."
            if by_consequence
            else "The scores carry no column consequence. Scored with input.source_columns: [consequence], they are shown by it here."
        )
        sections.append(
            _FigureSection("consequence", "By consequence", note, by_consequence, legend=bool(by_consequence))
        )
    along = along_contigs(tally) if tally.rows else []
    if along:
        sections.append(
            _FigureSection(
                "along", "Along the chromosomes", _along_note(tally), along, strips=True, legend=tally.dots is not None
            )
        )
    if by_contig := charts.classes_by_contig(tally):
        sections.append(_FigureSection("contigs", "Classes by chromosome", "", [by_contig], legend=True))
    if agreement := charts.strands(tally):
        sections.append(_FigureSection("strands", "Strand agreement", "", [agreement]))
    if pace := charts.throughput(manifest.get("pace", [])):
        sections.append(_FigureSection("throughput", "Throughput over time", "", [pace]))
    return sections


def _along_note(tally: Tally) -> str:
    if tally.dots is not None:
        note = "Each dot is a variant at its position, coloured by its class; what lies beyond 99.8% of all is drawn at the edge."
    else:
        note = "The line is the median of a stretch, the bands hold its middle half and its middle 90%, the dots are its lowest score."
    if tally.other_contigs:
        note += f" {tally.other_contigs:,} contigs with fewer variants are not drawn; they are in all other numbers."
    return note


def _numbered(sections: Sequence[_FigureSection]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sections for the template, whose figures know their place in the list of Vega-Lite specifications; and the list."""
    specs: list[dict[str, Any]] = []
    numbered = []
    for section in sections:
        figures = []
        for figure in section.figures:
            height = figure.spec["height"]
            shown = {"title": figure.title, "words": figure.words, "css": figure.css}
            figures.append({**shown, "number": len(specs), "height": height})
            specs.append(figure.spec)
        numbered.append({**vars(section), "figures": figures})
    return numbered, specs


def _classes(tally: Tally, cuts: Sequence[float], on: str | None) -> list[dict[str, Any]]:
    rows = dict(tally.classes.group_by("classification").agg(pl.col("rows").sum()).iter_rows())
    return [
        {
            "name": words.name,
            "title": words.title,
            "css": css_class(words.name),
            "range": class_range(words.name, cuts, on),
            "nats": _in_nats(words.name, cuts) if phred_cuts(on) else "",
            "range_and_unit": range_with_unit(words.name, cuts, on) if on else class_range(words.name, cuts),
            "rows": rows.get(words.name, 0),
            "count": f"{rows.get(words.name, 0):,}",
            "share": f"{rows.get(words.name, 0) / max(tally.rows, 1):.1%}",
            "meaning": f"{words.meaning[0].upper()}{words.meaning[1:]}",
        }
        for words in all_class_words()
    ]


def _in_nats(name: str, cuts: Sequence[float]) -> str:
    """The range of a class on ``delta_llr``, where it was cut in PHRED; empty where none falls in it."""
    text = class_range(name, [float(f"{cut:.3f}") for cut in cuts])
    return "" if text == "not given" else f"delta_llr {text} nats"


def _conservation(manifest: Mapping[str, Any], tally: Tally) -> str:
    counts = manifest["counts"]
    if is_reclassified(manifest):
        return (
            f"All {counts['scored']:,} scores and {counts['num_rejected']:,} rejects of run {manifest['from']['run_id']} are here; "
            f"{sum(counts['changed'].values()):,} have another class."
        )
    text = (
        f"This run: {counts['alleles_in']:,} alleles in = {counts['scored']:,} scored + {counts['num_rejected']:,} rejected + "
        f"{counts['already_scored']:,} already scored."
    )
    if tally.runs.get(manifest["run_id"], 0) != tally.rows:
        text += (
            f" The scores on this page are all {tally.rows:,} of the folder, from {len(tally.runs):,} runs with one fingerprint; "
            "rejects, throughput and cost are this run's."
        )
    return text


def _background(manifest: Mapping[str, Any], tally: Tally) -> str:
    """What the ranks are of and what they are not, empty where there are none."""
    if not tally.ranks:
        return ""
    text = (
        "percentile is the share of the background whose delta_llr is as low or lower, phred -10 log10 of it: 20 is its most harmful "
        "hundredth, 30 its most harmful thousandth. A rank is against this background only; it is no probability."
    ).replace("-10", f"{MINUS}10")
    if manifest["background"].get("neutral"):
        text += " delta_context is delta_llr less what is to be expected of the change in its sequence context alone."
    return text


def _genes(tally: Tally) -> dict[str, Any] | None:
    """The genes by the median percentile of their variants; None where none are known."""
    counted = tally.ranks.genes if tally.ranks else None
    if counted is None:
        return None
    remarks = [
        f"Genes by the median percentile of their variants, the most harmful first: half of a gene's variants are at that share of the background or below it. The interval is "
        f"that of the median, of 95% or more by binomial order statistics (Conover, Practical Nonparametric Statistics, 3.2), and medians "
        f"are right to {0.5 / PERCENTILE_BINS:g}. Genes are comparable where their variants were chosen alike."
    ]
    if len(counted.genes) > _MOST_GENES:
        remarks.append(f"The first {_MOST_GENES} of {len(counted.genes):,}.")
    if counted.num_small:
        remarks.append(f"{counted.num_small:,} with fewer than {FEWEST_VARIANTS} variants are left out.")
    if counted.num_rows_beyond:
        remarks.append(f"{counted.num_rows_beyond:,} variants of genes after the first {MAX_GENES:,} are not counted.")
    rows = [
        (
            gene.gene,
            f"{gene.num_variants:,}",
            f"{gene.median:.3f}",
            f"{gene.low:.3f} to {gene.high:.3f}",
            f"{gene.num_severe:,}",
        )
        for gene in counted.genes[:_MOST_GENES]
    ]
    heads = [
        ("gene", ""),
        ("variants", "n"),
        ("median percentile", "n"),
        ("95% interval", "n"),
        (f"PHRED ≥ {SEVERE}", "n"),
    ]
    return {"note": " ".join(remarks), "heads": heads, "rows": rows}


def _variants_note(tally: Tally) -> str:
    if tally.rows == len(tally.worst):
        note = f"All {tally.rows:,} of them, most negative first."
    else:
        note = (
            f"{len(tally.worst):,} of {tally.rows:,}: at most {MAX_SUBSTITUTIONS} substitutions and, since their deltas spread wider, "
            f"at most {MAX_INDELS} insertions and deletions beside them."
        )
    return f"{note} A variant opens in words."


def _table(tally: Tally, cuts: Sequence[float], on: str | None) -> dict[str, Any]:
    """Heads and rows of the table of the most negative variants."""
    if not tally.rows:
        return {"heads": [], "variants": [], "types": []}
    rows = tally.worst.to_dicts()
    shown = [name for name in _COLUMNS_SHOWN if name in tally.worst.columns]
    both_strands = tally.worst["delta_fwd"].is_not_null().any() and tally.worst["delta_rev"].is_not_null().any()
    has_ranks = tally.ranks is not None
    in_words = (*SCORES.names, *shown, *(BACKGROUND_COLUMNS if has_ranks else ()))
    carried = [name for name in tally.worst.columns if name not in in_words]
    places = sorted(
        {(row["chrom"] or "", row["pos"] or 0, row["variant_id"]) for row in rows},
        key=lambda place: (contig_order(place[0]), place[1:]),
    )
    place_of = {place: index for index, place in enumerate(places)}
    on_all = {flag for flag, count in tally.flags.items() if count == tally.rows}
    heads = [
        ("variant", "yes", ""),
        ("type", "no", "side"),
        *((name, "no", "side") for name in shown),
        ("delta_llr", "yes", "n"),
        *([("phred", "yes", "n")] if has_ranks else []),
    ]
    heads += [("forward", "yes", "n side"), ("reverse", "yes", "n side")] * both_strands
    heads += [("class", "yes", ""), ("notes", "no", "side")]
    return {
        "heads": [
            {"name": name, "numbers": numbers, "css": css, "order": "ascending" if name == "delta_llr" else "none"}
            for name, numbers, css in heads
        ],
        "variants": [
            {
                "label": _label(row),
                "full_id": row["variant_id"] if _label(row) != row["variant_id"] else "",
                "place": place_of[row["chrom"] or "", row["pos"] or 0, row["variant_id"]],
                "class_name": row["classification"],
                "kind": kind(row),
                "cells": _cells(row, shown, bool(both_strands), on_all, has_ranks),
                "words": variant_words(row, cuts, on, has_ranks=has_ranks),
                "carried": [(name, row[name]) for name in carried if row[name] is not None],
            }
            for row in rows
        ],
        "types": sorted({kind(row) for row in rows}),
    }


def _cells(
    row: Mapping[str, Any], shown: Sequence[str], both_strands: bool, on_all: Collection[str], has_ranks: bool
) -> list[dict[str, Any]]:
    """The cells of a variant's row after the first; ``value`` is what the script sorts by where it is not the text.

    A flag that every row of the folder has would only be noise in each line; it is in the words.
    """
    words = class_words(row["classification"])
    notes = [*(["abstained"] if row["abstained"] else []), *(flag for flag in row["flags"] if flag not in on_all)]
    cells = [
        _cell(kind(row), css="side"),
        *(_cell("" if row[name] is None else str(row[name]), css="side") for name in shown),
    ]
    cells.append(_cell(number(row["delta_llr"]), row["delta_llr"], "n"))
    if has_ranks:
        cells.append(_cell("" if row["phred"] is None else number(row["phred"]), row["phred"], "n"))
    if both_strands:
        for name in ("delta_fwd", "delta_rev"):
            cells.append(
                _cell("" if row[name] is None else number(row[name]), "" if row[name] is None else row[name], "n side")
            )
    cells.append(_cell(words.title, CLASSES.index(words.name), "class", css_class(words.name)))
    return [*cells, _cell(", ".join(notes), css="side")]


def _cell(text: str, value: Any = None, css: str = "", dot: str = "") -> dict[str, Any]:
    return {"text": text, "value": value, "css": css, "dot": dot}


def _label(row: Mapping[str, Any]) -> str:
    """The id of a row's variant, with long alleles cut short."""
    if row["chrom"] is None:
        return str(row["variant_id"])
    return f"{row['chrom']}-{row['pos']}-{allele(row['ref'])}-{allele(row['alt'])}"


def _accounts(
    counts: Mapping[str, int], words: Mapping[str, str], examples: Mapping[str, str], first: str = ""
) -> list[dict[str, str]]:
    """Counts by name for a table of rejects or flags, the largest first, or ``first`` before all."""
    order = sorted(counts, key=lambda name: (name != first, -counts[name], name))
    return [
        {"name": name, "words": words.get(name, ""), "count": f"{counts[name]:,}", "example": examples.get(name, "")}
        for name in order
    ]


def write_report(out: str, run_id: str | None = None, price_per_hour: float | None = None) -> str:
    """Write ``OUT/runs/<run_id>/report.html`` and return its path. The report covers all scores of the folder, or
    all bases where it is a position table.

    Args:
        out: the folder of one or more runs.
        run_id: the run that the page describes; by default the latest.
        price_per_hour: price of an hour of all that the run held, in any currency; without it no money is mentioned.

    Raises:
        InputError: there is no such folder or run, the run's manifest cannot be read, or the files of scores not as one table.
        SettingsError: the page cannot be written.
    """
    refuse_no_folder(out)
    folder = RunFolder(out)
    manifest = _manifest(folder, run_id)
    if manifest.get("kind") == POSITIONS:
        return folder.write_run_file(manifest["run_id"], REPORT, position_page(out, manifest, price_per_hour).encode())
    folder.refuse_mixed_files()
    scores, resolved = folder.scores_dataset(), manifest["resolved"]
    has_ranks = bool(manifest.get("background")) and "phred" in scores.schema.names
    tally = tally_scores(scores, cuts_from_json(resolved["cuts"]), resolved.get("classes_on"), has_ranks=has_ranks)
    examples = _examples(folder.rejects_dataset(), set(manifest["counts"]["rejected"]) - COUNTED_ONLY)
    page = render_page(manifest, tally, examples, price_per_hour)
    return folder.write_run_file(manifest["run_id"], REPORT, page.encode())


def _manifest(folder: RunFolder, run_id: str | None) -> dict[str, Any]:
    run_ids = folder.run_ids()
    if not run_ids:
        if tables := tables_inside(folder.path):
            raise no_scores(folder.path, tables)
        raise InputError(
            f"{folder.path} holds no run: there is no runs/<run_id>/manifest.json. `raygen score` makes one."
        )
    if run_id is not None and run_id not in run_ids:
        raise InputError(
            f"{folder.path} holds no run {run_id}. It holds {len(run_ids):,}; the latest is {run_ids[-1]}."
        )
    name = run_id or run_ids[-1]
    try:
        manifest = folder.read_manifest(name) or {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder.path}/runs/{name}/manifest.json cannot be read: {error}.") from error
    expected = ("resolved", "counts", "model", *(() if is_reclassified(manifest) else ("tokens",)))
    missing = [key for key in expected if key not in manifest]
    if missing:
        raise InputError(
            f"{folder.path}/runs/{name}/manifest.json lacks {', '.join(missing)}: it is not a run's manifest."
        )
    return manifest


def _examples(rejects: ds.Dataset, reasons: Collection[str]) -> dict[str, str]:
    """One rejected allele for each reason, in words; reading stops when every reason has one."""
    examples: dict[str, str] = {}
    for batch in rejects.to_batches(columns=["reason", "source", "detail"]):
        for reason, source, detail in zip(
            *(batch[name].to_pylist() for name in ("reason", "source", "detail")), strict=True
        ):
            examples.setdefault(reason, f"{source}: {detail}")
        if set(reasons) <= set(examples):
            break
    return examples
