from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pysam
import pytest

from raygen.variants.file_kinds import is_parquet, kind_of

VCF = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n1\t10\t.\tA\tC\t.\t.\t.\n"


@pytest.mark.parametrize("name", ["no_ending", "a.bgz", "A.VCF.GZ", "a.txt", "a.parquet"])
def test_a_kind_is_known_by_content_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (tmp_path / "plain").write_bytes(VCF)
    for content, kind in [
        (VCF, "VCF"),
        (b"\xef\xbb\xbf" + VCF, "VCF"),
        (gzip.compress(VCF), "VCF"),
        (b"#CHROM\tPOS\n", None),
        (b"", None),
        (b"\x1f\x8b broken", None),
        (b"TBI\x01", None),
    ]:
        path.write_bytes(content)
        assert kind_of(path) == kind
    pysam.tabix_compress(str(tmp_path / "plain"), str(path), force=True)
    assert (kind_of(path), is_parquet(path)) == ("VCF", False)
    with (
        pysam.VariantFile(str(tmp_path / "plain")) as source,
        pysam.VariantFile(str(path), "wb", header=source.header),
    ):
        pass
    assert kind_of(path) == "BCF"
    pq.write_table(pa.table({"a": [1]}), path)
    assert (kind_of(path), is_parquet(path)) == ("Parquet", True)


def test_a_name_tells_where_the_content_does_not(tmp_path: Path) -> None:
    for name in ("a.parquet", "B.PARQ", "c.vcf"):
        (tmp_path / name).write_bytes(b"damaged")
    assert [is_parquet(tmp_path / name) for name in ("a.parquet", "B.PARQ", "c.vcf")] == [True, True, False]
    assert kind_of(tmp_path / "missing") is None
