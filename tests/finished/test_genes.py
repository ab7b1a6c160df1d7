"""Genes by name from the files that people have."""

import gzip

import pytest

from raygen.errors import InputError
from raygen.finished.genes import Stretch, find_genes

BED = "# comment\ntrack name=x\nchr17\t99\t200\tBRCA1\t0\t-\nchr17\t299\t400\tBRCA1\nchr13\t0\t9\tBRCA2\n"
GFF = (
    "##gff-version 3\n"
    "17\thavana\tgene\t100\t400\t.\t-\t.\tID=gene:ENSG1;Name=BRCA1;biotype=protein_coding\n"
    "17\thavana\tmRNA\t90\t410\t.\t-\t.\tID=transcript:T1;Parent=gene:ENSG1;Name=BRCA1-201\n"
    "MT\tRefSeq\tpseudogene\t3307\t4262\t.\t+\t.\tID=gene-MT-ND1;gene=ND1;locus_tag=X1\n"
)
GTF = (
    '17\thavana\texon\t100\t150\t.\t-\t.\tgene_id "ENSG1"; gene_name "BRCA1"; exon_number "1";\n'
    '17\thavana\texon\t300\t400\t.\t-\t.\tgene_id "ENSG1"; gene_name "BRCA1"; exon_number "2";\n'
)


@pytest.mark.parametrize(
    ("text", "name", "stretches"),
    [
        (BED, "BRCA1", [Stretch("chr17", 100, 200), Stretch("chr17", 300, 400)]),
        (BED, "BRCA2", [Stretch("chr13", 1, 9)]),
        (GFF, "BRCA1", [Stretch("17", 100, 400)]),
        (GFF, "ENSG1", [Stretch("17", 100, 400)]),
        (GFF, "MT-ND1", [Stretch("MT", 3307, 4262)]),
        (GFF, "ND1", [Stretch("MT", 3307, 4262)]),
        (GTF, "BRCA1", [Stretch("17", 100, 400)]),
        (GTF, "ENSG1", [Stretch("17", 100, 400)]),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_gene_is_found_by_its_names(tmp_path, text, name, stretches, packed):
    path = tmp_path / "genes"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert find_genes(str(path), [name]) == {name: stretches}


def test_a_name_that_is_not_there_gets_near_ones(tmp_path):
    (tmp_path / "genes.bed").write_text(BED)
    with pytest.raises(InputError, match=r"no gene BRCA3 among its 2 names\. Did you mean BRCA2, BRCA1\?"):
        find_genes(str(tmp_path / "genes.bed"), ["BRCA3"])


@pytest.mark.parametrize("text", ["", "gene,start,end\nBRCA1,1,2\n"])
def test_another_kind_of_file_is_said(tmp_path, text):
    (tmp_path / "genes.csv").write_text(text)
    with pytest.raises(InputError, match="no line of it is BED, GFF3 or GTF"):
        find_genes(str(tmp_path / "genes.csv"), ["BRCA1"])


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        find_genes(str(tmp_path / "nothing.bed"), ["BRCA1"])
