"""From a run's folder to its report page, beside its manifest."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pyarrow.dataset as ds

from raygen.classes.classify import cuts_from_json
from raygen.errors import InputError
from raygen.pages.report import render_page
from raygen.pages.report_facts import is_reclassified
from raygen.pages.tally import tally_scores
from raygen.tables.fingerprints import no_scores, tables_inside
from raygen.tables.folder_kinds import refuse_no_folder
from raygen.tables.layout import RunFolder

REPORT = "report.html"


def write_report(out: str, run_id: str | None = None, price_per_hour: float | None = None) -> str:
    """Write ``OUT/runs/<run_id>/report.html`` and return its path. The report covers all scores of the folder.

    Args:
        out: the folder of one or more runs.
        run_id: whose manifest is told; by default the latest run's.
        price_per_hour: of all that the run held, in any currency; without it no money is mentioned.

    Raises:
        InputError: there is no such folder or run, or its manifest cannot be read.
        SettingsError: the page cannot be written.
    """
    refuse_no_folder(out)
    folder = RunFolder(out)
    manifest = _manifest(folder, run_id)
    tally = tally_scores(folder.scores_dataset(), cuts_from_json(manifest["resolved"]["cuts"]))
    examples = _examples(folder.rejects_dataset(), set(manifest["counts"]["rejected"]))
    page = render_page(manifest, tally, examples, price_per_hour)
    return folder.write_run_file(manifest["run_id"], REPORT, page.encode())


def _manifest(folder: RunFolder, run_id: str | None) -> dict[str, Any]:
    found = folder.run_ids()
    if not found:
        if tables := tables_inside(folder.path):
            raise no_scores(folder.path, tables)
        raise InputError(
            f"{folder.path} holds no run: there is no runs/<run_id>/manifest.json. `raygen score` makes one."
        )
    if run_id is not None and run_id not in found:
        raise InputError(f"{folder.path} holds no run {run_id}. It holds {len(found):,}; the latest is {found[-1]}.")
    name = run_id or found[-1]
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
    found: dict[str, str] = {}
    for batch in rejects.to_batches(columns=["reason", "source", "detail"]):
        for reason, source, detail in zip(
            *(batch[name].to_pylist() for name in ("reason", "source", "detail")), strict=True
        ):
            found.setdefault(reason, f"{source}: {detail}")
        if set(reasons) <= set(found):
            break
    return found
