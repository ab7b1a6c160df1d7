"""Scores in the layout of CADD's files, which many annotators and pipelines read: a line for each change, bgzip and tabix.

    ## raygen ...
    #Chrom  Pos  Ref  Alt  RawScore  PHRED

In CADD more is worse, and of ``delta_llr`` less is: RawScore is ``-delta_llr``. PHRED is the column ``phred``, a rank in a background; without one
it is ``.``. VEP's plugin, bcftools and vcfanno's ``self`` hand that on as missing, Exomiser stops at it; a ``NaN`` would be Exomiser's most
pathogenic score. (vcfanno 0.3.5 takes the mean of ``.`` for 0, and warns.) Contigs are named as CADD names them, without ``chr``. VEP's plugin
refuses a file whose header does not name the assembly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pysam

from raygen.finished.export_parts import Part
from raygen.finished.export_vcf import TBI_LIMIT
from raygen.finished.run_facts import RunFacts, TableByPlace
from raygen.finished.text_lines import shortest, text_lines
from raygen.tables.place import put_in_place
from raygen.variants.human_assemblies import human_assembly
from raygen.variants.vcf_stream import quiet_htslib

CADD_SUFFIXES = (".cadd.tsv.gz",)
_NO_BACKGROUND = "PHRED is . because no background is known"


def write_cadd(
    index: TableByPlace,
    parts: Sequence[Part],
    lengths: Mapping[str, int],
    to: str,
    facts: RunFacts,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> tuple[int, str]:
    """Write scores to ``to``; returns the number of lines and the index's path.

    Args:
        lengths: bases of the reference's contigs, by which its assembly is known; empty where it is not at hand.
    """
    num_lines = last_pos = 0
    names = names_of_cadd([part.chrom or "" for part in parts])
    columns = ["pos", "ref", "alt", "delta_llr", *(["phred"] if facts.background else [])]
    with quiet_htslib(), put_in_place(to, beside=(".tbi", ".csi")) as partial:
        with pysam.BGZFile(str(partial), "wb") as file:
            file.write(_header(facts, human_assembly(lengths)))
            for part in parts:
                for rows in part.tables(index, columns):
                    file.write(_lines(rows, names[part.chrom or ""]))
                    num_lines, last_pos = num_lines + rows.num_rows, max(last_pos, rows["pos"][-1].as_py())
                    on_progress(num_lines)
        csi = last_pos >= TBI_LIMIT
        pysam.tabix_index(str(partial), seq_col=0, start_col=1, end_col=1, force=True, csi=csi)
    return num_lines, f"{to}{'.csi' if csi else '.tbi'}"


def names_of_cadd(contigs: Sequence[str]) -> dict[str, str]:
    """Contigs by the names that Ensembl gives them, ``1`` for ``chr1`` and ``MT`` for ``chrM``, unless another contig has that name."""
    names = {}
    for chrom in contigs:
        bare = chrom.removeprefix("chr")
        wanted = "MT" if bare == "M" and "chrMT" not in contigs else bare
        names[chrom] = chrom if wanted in contigs else wanted
    return names


def _header(facts: RunFacts, assembly: str | None) -> bytes:
    made_by = f"## raygen {facts.in_words}" + (f", assembly {assembly}" if assembly else "")
    columns = "#Chrom\tPos\tRef\tAlt\tRawScore\tPHRED"
    meaning = "## RawScore is -delta_llr in nats: the larger, the less likely the change makes the sequence"
    rank = f"PHRED is a rank in background {facts.ranked_against}" if facts.background else _NO_BACKGROUND
    return f"{made_by}\n{meaning}; {rank}\n{columns}\n".encode()


def _lines(rows: pa.Table, chrom: str) -> bytes:
    raw = shortest(pa.array(0 - rows["delta_llr"].to_numpy()))  # 0 is -0 in -delta
    rank = pc.fill_null(shortest(rows["phred"]), ".") if "phred" in rows.column_names else "."
    return text_lines(chrom, rows["pos"].cast(pa.string()), rows["ref"], rows["alt"], raw, rank)
