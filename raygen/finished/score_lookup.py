"""The scores of the alleles of a VCF, matched as ``ingest`` would read them: same checks, same normalisation, same contig names.

In: a VCF and a folder of scores. Out: for each batch of its alleles the scores, or why there is none. What is held at a time is a
batch of alleles and the scores at their positions, however large the VCF and the folder are and however the VCF is sorted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from raygen.errors import InputError
from raygen.finished.run_facts import RunFacts
from raygen.sequence.reference import Reference, open_reference
from raygen.tables.score_index import ScoreIndex
from raygen.variants.alleles import AlleleBatch, AlleleReader
from raygen.variants.assembly import AssemblyWatch
from raygen.variants.check import AlleleChecker, CheckedBatch
from raygen.variants.inputs import open_readers
from raygen.variants.vcf_stream import quiet_htslib

NOT_SCORED = "not_scored"
"""Why an allele that could be scored has no score here."""
_KEYS = ("pos", "ref", "alt")


@dataclass(frozen=True)
class MatchedBatch:
    """A alleles of a VCF in input order, and their scores.

    ``scores`` has A rows, null where there is no score; ``missing`` says why there is none, None where there is one.
    """

    alleles: pa.Table
    num_records: int
    scores: pa.Table
    missing: list[str | None]


class AlleleMatcher:
    """Looks up the alleles of one file.

    Raises:
        InputError: the file cannot be read, or it is from another assembly than the reference.
    """

    def __init__(
        self, index: ScoreIndex, path: str, reference: Reference, max_allele_length: int, columns: Sequence[str]
    ) -> None:
        readers = open_readers([path])
        if len(readers) > 1 or Path(path).is_dir():
            raise InputError(f"{path} is a folder. Give one file.")
        self.reader: AlleleReader = readers[0]
        self.missing: Counter[str] = Counter()
        self.checker = AlleleChecker(reference, max_allele_length)
        self._index = index
        self._names = list(reference.lengths)
        self._columns = list(columns)
        self._watch = AssemblyWatch(self.checker, readers)

    def batches(self) -> Iterator[MatchedBatch]:
        """All alleles in file order."""
        with quiet_htslib():
            for batch in self.reader.batches([]):
                checked = self.checker.check(batch, self.reader.kind)
                self._watch.after_batch()
                yield self._matched(batch, checked)
        self._watch.at_end(self.missing)  # type: ignore[arg-type]  # reasons are their own text

    def _matched(self, batch: AlleleBatch, checked: CheckedBatch) -> MatchedBatch:
        size = batch.table.num_rows
        missing: list[str | None] = [NOT_SCORED] * size
        for row, reason, _ in checked.refused:
            missing[row] = reason.value
        row_of = np.full(size, -1, np.int64)
        parts: list[pa.Table] = []
        found = 0
        for contig in np.unique(checked.contig).tolist():
            mine = np.flatnonzero(checked.contig == contig)
            scores = self._index.rows_at(self._names[contig], checked.pos[mine], [*_KEYS, *self._extra()])
            place = {
                key: found + row
                for row, key in enumerate(zip(*(scores[name].to_pylist() for name in _KEYS), strict=True))
            }
            own = zip(
                checked.pos[mine].tolist(),
                checked.ref.take(mine).to_pylist(),
                checked.alt.take(mine).to_pylist(),
                strict=True,
            )
            row_of[checked.rows[mine]] = [place.get(key, -1) for key in own]
            parts.append(scores)
            found += scores.num_rows
        for row in np.flatnonzero(row_of >= 0).tolist():
            missing[row] = None
        self.missing.update(reason for reason in missing if reason)
        return MatchedBatch(batch.table, batch.num_records, self._taken(parts, row_of), missing)

    def _extra(self) -> list[str]:
        return [name for name in self._columns if name not in _KEYS]

    def _taken(self, parts: Sequence[pa.Table], row_of: np.ndarray) -> pa.Table:
        schema = pa.schema([self._index.schema.field(name).with_nullable(True) for name in self._columns])
        empty = schema.empty_table()
        table = pa.concat_tables([empty, *(part.select(self._columns).cast(schema) for part in parts)]).combine_chunks()
        return table.take(pa.array(row_of, mask=row_of < 0))


def reference_for(index: ScoreIndex, facts: RunFacts, given: str | None) -> Reference:
    """The FASTA that the scores were made on: the one given, or where the last run found it.

    Raises:
        InputError: it is not there, or it is another one.
    """
    path = given or facts.reference
    if not path:
        raise InputError(
            f"No manifest in {index.path}/runs names the reference of the scores. Give it with --reference."
        )
    if not given and not Path(path).is_file():
        raise InputError(
            f"The reference of the scores, {path}, is not there any more. Say with --reference where it is."
        )
    reference = open_reference(path)
    if reference.digest != index.identity.reference_digest:
        raise InputError(f"{path} is not the reference that {index.path} was scored on: its contigs or bases differ.")
    return reference
