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
import pyarrow.compute as pc

from raygen.errors import InputError
from raygen.finished.position_scores import PositionScores
from raygen.finished.run_facts import RunFacts, TableByPlace
from raygen.remote import exists
from raygen.sequence.reference import Reference, staged_reference
from raygen.tables.schemas import NOT_SCORED, Reason
from raygen.variants.alleles import AlleleBatch, AlleleReader
from raygen.variants.assembly import AssemblyWatch
from raygen.variants.check import AlleleChecker, CheckedBatch
from raygen.variants.inputs import open_readers
from raygen.variants.single_base import NOT_SNV
from raygen.variants.vcf_stream import quiet_htslib

_KEYS = ("pos", "ref", "alt")


@dataclass(frozen=True)
class MatchedBatch:
    """A alleles of a VCF in input order, and their scores.

    Attributes:
        alleles: A rows of RAW_ALLELES.
        num_records: records of the VCF that the alleles are of.
        scores: A rows, null where there is no score.
        missing: (A,) why there is no score; None where there is one.
    """

    alleles: pa.Table
    num_records: int
    scores: pa.Table
    missing: list[str | None]


class AlleleMatcher:
    """Looks up the scores of the alleles of one file.

    ``missing`` counts the alleles without a score by reason as batches are read.

    Raises:
        InputError: the file is a folder, it cannot be read, or it is from another assembly than the reference.
    """

    def __init__(
        self, index: TableByPlace, path: str, reference: Reference, facts: RunFacts, columns: Sequence[str]
    ) -> None:
        readers = open_readers([path])
        if len(readers) > 1 or Path(path).is_dir():
            raise InputError(f"{path} is a folder. Give one file.")
        self.reader: AlleleReader = readers[0]
        self.missing: Counter[str] = Counter()
        self.checker = AlleleChecker(reference, facts.max_allele_length)
        self._index = index
        self._names = list(reference.lengths)
        self._columns = list(columns)
        self._watch = AssemblyWatch(self.checker, readers, max_whole_share=facts.max_mismatch_share)

    def batches(self) -> Iterator[MatchedBatch]:
        """The file's alleles with their scores, in file order, a batch at a time."""
        with quiet_htslib():
            for batch in self.reader.batches([]):
                checked = self.checker.check(batch, self.reader.kind)
                self._watch.after_batch()
                yield self._matched(batch, checked)
        self._watch.after_file(self.reader)
        self._watch.at_end(self.missing)  # type: ignore[arg-type]  # reasons are their own text

    @property
    def warnings(self) -> list[str]:
        """Sentences on what of the file is likely from another assembly; after all batches were read."""
        return self._watch.doubtful_contigs()

    def _matched(self, batch: AlleleBatch, checked: CheckedBatch) -> MatchedBatch:
        size = batch.table.num_rows
        missing: list[str | None] = [NOT_SCORED] * size
        if isinstance(self._index, PositionScores):
            for row in checked.rows[~_is_single_base(checked)].tolist():
                missing[row] = NOT_SNV
        for row, reason, _ in checked.refused:
            missing[row] = reason.value
        for row in checked.blocks.tolist():
            missing[row] = Reason.REFERENCE_BLOCK.value
        row_of = np.full(size, -1, np.int64)
        parts: list[pa.Table] = []
        row_offset = 0
        for contig in np.unique(checked.contig).tolist():
            rows_of_contig = np.flatnonzero(checked.contig == contig)
            scores = self._index.rows_at(self._names[contig], checked.pos[rows_of_contig], [*_KEYS, *self._extra()])
            row_of_key = {
                key: row_offset + row
                for row, key in enumerate(zip(*(scores[name].to_pylist() for name in _KEYS), strict=True))
            }
            keys = zip(
                checked.pos[rows_of_contig].tolist(),
                checked.ref.take(rows_of_contig).to_pylist(),
                checked.alt.take(rows_of_contig).to_pylist(),
                strict=True,
            )
            row_of[checked.rows[rows_of_contig]] = [row_of_key.get(key, -1) for key in keys]
            parts.append(scores)
            row_offset += scores.num_rows
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


def _is_single_base(checked: CheckedBatch) -> np.ndarray:
    """Which of the checked alleles change one base."""
    ref, alt = (pc.equal(pc.binary_length(alleles), 1) for alleles in (checked.ref, checked.alt))
    is_single: np.ndarray = pc.and_(ref, alt).to_numpy(zero_copy_only=False)
    return is_single


def reference_for(index: TableByPlace, facts: RunFacts, user_path: str | None) -> Reference:
    """The FASTA that the scores were made on: at ``user_path``, or by default where the last run read it.

    Raises:
        InputError: the file is not there, or it is another reference.
    """
    path = user_path or facts.reference
    if not path:
        raise InputError(
            f"No manifest in {index.path}/runs names the reference of the scores. Give it with --reference."
        )
    if not user_path and not exists(path):
        raise InputError(
            f"The reference of the scores, {path}, is not there any more. Say with --reference where it is."
        )
    reference = staged_reference(path)
    if reference.digest != index.identity.reference_digest:
        raise InputError(f"{path} is not the reference that {index.path} was scored on: its contigs or bases differ.")
    return reference
