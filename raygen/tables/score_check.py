"""What is checked of a table of scores beyond what every table has to be.

a row        lies in its contig, in order of position, is named by what it is, has no empty or infinite number
the table    no variant twice
embeddings   see embedding_check.py
nights       what their records counted is there
Iceberg      where there is a table: the same rows per run
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raygen.number_of import number_of
from raygen.tables.accounts import ROLLED_BACK, Account, Accounts
from raygen.tables.columns import has_item
from raygen.tables.embedding_check import faults_beside, faults_of_others
from raygen.tables.iceberg import open_table, rows_by_run
from raygen.tables.layout import ScoreFile
from raygen.tables.schemas import PRESCORED, SCORES
from raygen.tables.stretches import Stretches
from raygen.tables.table_check import NUM_SHOWN, TableCheck, counted

_STRETCH_ROWS = 1 << 20
_NUMBERS = ("ll_wt", "ll_mut", "delta_llr", "delta_per_base")
_ROUNDING = 1e-9  # of a sum's size, in float64
_EXPECTED = pa.schema([column for column in SCORES if column.name != "chrom"])


class ScoreCheck(TableCheck):
    """The verification of a table of scores."""

    def columns_of(self, schema: pa.Schema) -> pa.Schema:
        """Those of SCORES, but for the contig, which is in the folder's name."""
        return _EXPECTED

    def check_file(self, file: ScoreFile, opened: pq.ParquetFile) -> None:
        """Check the embeddings beside a file."""
        for where, message in faults_beside(self.folder, file, opened):
            self.fault(where, message)

    def check_rows(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check the rows of a row group that follows position ``last``; returns the last position in it."""
        for run, number in counted(rows["run_id"]):
            self.rows_of[run] += number
        for name in _NUMBERS:
            self.check_finite(file, rows, name)
        is_prescored = pa.array(has_item(rows["flags"], PRESCORED))
        for name in ("ll_wt", "ll_mut"):
            bad = pc.sum(pc.xor(pc.is_null(rows[name]), is_prescored)).as_py() or 0
            self.count_if(file, bad, f"of which {name} and the flag {PRESCORED} say different things")
        apart = pc.abs(pc.subtract(pc.subtract(rows["ll_mut"], rows["ll_wt"]), rows["delta_llr"]))
        allowed = pc.multiply(pc.add(pc.abs(rows["ll_wt"]), 1.0), _ROUNDING)
        self.count_if(file, pc.sum(pc.greater(apart, allowed)).as_py() or 0, "whose delta_llr is not ll_mut less ll_wt")
        if self.identity and (
            other := {fingerprint for fingerprint, _ in counted(rows["fingerprint"])} - {self.identity.fingerprint}
        ):
            self.fault(file.path, f"rows with another fingerprint: {', '.join(sorted(map(str, other)))}")
        return last if file.chrom is None else self._placed(file, rows, last)

    def _placed(self, file: ScoreFile, rows: pa.Table, last: int | None) -> int | None:
        """Check names and order of the variants in a row group; returns the last position in it."""
        parts = [pa.scalar(file.chrom), rows["pos"].cast(pa.string()), rows["ref"], rows["alt"]]
        name_matches = pc.fill_null(pc.equal(pc.binary_join_element_wise(*parts, "-"), rows["variant_id"]), False)
        if wrong := rows.filter(pc.invert(name_matches)):
            first = wrong["variant_id"][0].as_py()
            self.count_if(file, len(wrong), f"not named by contig, pos, ref and alt (first: {first})")
        return self.check_order(file, rows["pos"].drop_null().to_numpy(), last)

    def check_contig(self, chrom: str | None, paths: Sequence[str]) -> None:
        """Check that no variant is in a contig twice, whichever files it lies in."""
        where = f"contig {chrom}" if chrom is not None else "pairs"
        for ids in self._ids(chrom, paths):
            repeated = ids.group_by("variant_id").len().filter(pl.col("len") > 1).sort("variant_id")
            if repeated.height:
                shown = ", ".join(repeated["variant_id"].head(NUM_SHOWN))
                times = int(repeated["len"].sum()) - repeated.height
                self.fault(
                    where, f"{repeated.height:,} variants are there more than once, {times:,} rows too many ({shown})"
                )

    def _ids(self, chrom: str | None, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
        if chrom is not None:
            for table in Stretches(paths, self.folder.filesystem, _STRETCH_ROWS).tables(["variant_id"]):
                yield pl.DataFrame(pl.from_arrow(table))
        elif paths:
            yield pl.DataFrame(pl.from_arrow(self.folder.scored_ids(paths)))

    def conservation(self) -> tuple[Mapping[str, Account], Accounts]:
        """Compare with what is there what the runs' manifests say, and nights' records, and the Iceberg table."""
        runs, accounts = super().conservation()
        if all(run.ended or run.status == ROLLED_BACK for run in runs.values()):  # else a try may not be committed yet
            for where, message in faults_of_others(self.folder):
                self.fault(where, message)
        for name, night in self.accounts_in("nights", ".json").items():
            for message in accounts.of_night(night) if night.status != ROLLED_BACK else ():
                self.fault(f"night {name}", message)
        outputs = [(run.manifest.get("settings") or {}).get("output") or {} for _, run in sorted(runs.items())]
        if self.identity and (iceberg := [output for output in outputs if output.get("table_format") == "iceberg"]):
            self._iceberg(self.identity.fingerprint, iceberg[-1].get("catalog"))
        return runs, accounts

    def _iceberg(self, fingerprint: str, catalog: str | None) -> None:
        """Check that the Iceberg table holds as many rows of each run as the files."""
        table = open_table(self.folder, fingerprint, catalog)
        if table is None:
            return self.fault("Iceberg", f"there is no table for the fingerprint {fingerprint}")
        rows_in_table = rows_by_run(table)
        for run in sorted({*rows_in_table, *self.rows_of}):
            if rows_in_table.get(run, 0) != self.rows_of[run]:
                self.fault(
                    f"Iceberg, run {run}",
                    f"the table has {number_of(rows_in_table.get(run, 0), 'row')}, scores/ has {self.rows_of[run]:,}",
                )
        return None
