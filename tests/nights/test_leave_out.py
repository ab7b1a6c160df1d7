import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from raygen.nights import leave_out
from raygen.nights.leave_out import leave_out_scored
from raygen.tables.schemas import VARIANTS
from raygen.variants.ingest import ingest
from raygen.variants.ingested_folder import is_ingested, read_ingest_info
from tests.builders import InMemoryReference, random_bases, snvs, vcf

LOCAL = fs.LocalFileSystem()
CONTIGS = {"1": random_bases(900, 1), "2": random_bases(300, 2)}


@pytest.fixture
def ingested(tmp_path):
    """SNVs at every 5th position of two contigs: 180 and 60."""
    records = [record for name, bases in CONTIGS.items() for record in snvs(name, bases, range(1, len(bases) + 1, 5))]
    ingest([vcf(tmp_path, records, contigs=tuple(CONTIGS))], InMemoryReference(CONTIGS), tmp_path / "in")
    return tmp_path / "in"


def variants(folder) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((folder / "variants").glob("*.parquet")))


def scored(folder, name: str, rows: pa.Table) -> str:
    path = folder / name
    pq.write_table(rows.select(["pos", "ref", "alt"]), path)
    return str(path)


def test_what_is_scored_is_left_out_and_the_rest_keeps_its_order(tmp_path, ingested):
    all_of_them = variants(ingested)
    of_1 = all_of_them.slice(0, 180)
    files = [scored(tmp_path, "a.parquet", of_1.slice(0, 20)), scored(tmp_path, "b.parquet", of_1.slice(10, 40))]
    done = leave_out_scored(ingested, tmp_path / "new", {"1": files}, LOCAL)
    assert (done.num_variants, done.num_left_out) == (240, 50)
    assert variants(tmp_path / "new").equals(all_of_them.slice(50))
    assert is_ingested(tmp_path / "new")
    info = read_ingest_info(tmp_path / "new")
    assert (info["num_variants"], info["num_alleles"], info["rejects"]) == (190, 190, {})
    assert info["digest"] != read_ingest_info(ingested)["digest"]


def test_another_allele_or_contig_at_the_same_position_is_not_left_out(tmp_path, ingested):
    here = variants(ingested)
    other = here.set_column(3, "alt", pa.array(["TT"] * len(here))).slice(0, 180)
    files = {"1": [scored(tmp_path, "a.parquet", other)], "3": [scored(tmp_path, "b.parquet", here)]}
    assert leave_out_scored(ingested, tmp_path / "new", files, LOCAL).num_left_out == 0
    assert read_ingest_info(tmp_path / "new")["digest"] == read_ingest_info(ingested)["digest"]


def test_when_all_is_scored_an_empty_table_is_left(tmp_path, ingested):
    here = variants(ingested)
    files = {
        "1": [scored(tmp_path, "a.parquet", here.slice(0, 180))],
        "2": [scored(tmp_path, "b.parquet", here.slice(180))],
    }
    assert leave_out_scored(ingested, tmp_path / "new", files, LOCAL).num_left_out == 240
    assert variants(tmp_path / "new").schema.names == VARIANTS.names


@pytest.mark.parametrize(("stretch", "batch"), [(1, 1), (7, 3), (1000, 5)])
def test_the_result_does_not_depend_on_how_much_is_held_at_a_time(tmp_path, ingested, monkeypatch, stretch, batch):
    here = variants(ingested)
    chosen = np.random.default_rng(0).random(240) < 0.5
    marked = here.filter(pa.array(chosen))
    files = {
        name: [scored(tmp_path, f"{name}.parquet", marked.filter(pa.compute.equal(marked["chrom"], name)))]
        for name in CONTIGS
    }
    monkeypatch.setattr(leave_out, "STRETCH_ROWS", stretch)
    monkeypatch.setattr(leave_out, "BATCH_ROWS", batch)
    leave_out_scored(ingested, tmp_path / "new", files, LOCAL, row_group_rows=4)
    assert variants(tmp_path / "new").equals(here.filter(pa.array(~chosen)))
    for path in (tmp_path / "new/variants").glob("*.parquet"):
        file = pq.ParquetFile(path)
        for index in range(file.num_row_groups):
            assert len(set(file.read_row_group(index)["chrom"].to_pylist())) == 1
