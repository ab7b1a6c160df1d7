import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pysam
import pytest

from raygen.errors import InputError
from raygen.planning import sampling
from raygen.planning.bgzf_middle import OpenText
from raygen.planning.sampling import STRETCH, sample_input
from raygen.variants.inputs import find_inputs, open_readers
from raygen.variants.table_columns import TableColumns
from tests.builders import random_bases, snvs, vcf

BASES = random_bases(60_000, 5)
POSITIONS = [*range(100, 20_000, 2), *range(20_000, 60_000, 20)]  # dense, then sparse: 9,950 and 2,000 records


@pytest.fixture
def small_limits(monkeypatch):
    """What counts as large, small enough for a test."""
    limits = {"WHOLE_RECORDS": 100, "_COUNTED_BYTES": 1000, "_PROBE_RECORDS": 1500, "NUM_STRETCHES": 16}
    for name, value in {**limits, "STRETCH_RECORDS": 100}.items():
        monkeypatch.setattr(sampling, name, value)


def plain(folder):
    return vcf(folder, snvs("1", BASES, POSITIONS))


def bgzipped(folder, index=True):
    path = folder / "variants.vcf.gz"
    pysam.tabix_compress(str(plain(folder)), str(path), force=True)
    if index:
        pysam.tabix_index(str(path), preset="vcf", force=True)
    return path


def table(folder, positions=POSITIONS):
    path = folder / "variants.parquet"
    refs = [BASES[pos - 1] for pos in positions]
    columns = {"chrom": ["1"] * len(positions), "pos": positions, "ref": refs, "alt": ["N"] * len(positions)}
    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


def pvar(folder, ending=".pvar"):
    """Without a header, as a ``.bim`` is."""
    path = folder / f"variants{ending}"
    path.write_text("".join(f"1\t.\t0\t{pos}\tN\t{BASES[pos - 1]}\n" for pos in POSITIONS))
    return path


def sampled_positions(sample):
    path = sample.files[0].path
    assert len(sample.files) == 1
    if path.suffix == ".parquet":
        rows = pq.read_table(path)
        return dict(zip(rows["pos"].to_pylist(), rows[STRETCH].to_pylist(), strict=True))
    if path.suffix == ".pvar":
        rows = [line.split("\t") for line in path.read_text().splitlines() if line[0] != "#"]
        return {int(row[1]): int(row[-1].rpartition("=")[2]) for row in rows}
    with pysam.VariantFile(str(path)) as records:
        return {record.pos: record.info[STRETCH] for record in records}


@pytest.mark.parametrize(
    ("make", "counted", "off"),
    [
        (plain, "estimated", 0.02),
        (bgzipped, "index", 0),
        (lambda folder: bgzipped(folder, index=False), "estimated", 0.1),
        (table, "footers", 0),
        (pvar, "reading all sites", 0),
        (lambda folder: pvar(folder, ".bim"), "reading all sites", 0),
    ],
)
def test_a_large_input_is_counted_and_sampled_by_the_share_of_its_records(tmp_path, small_limits, make, counted, off):
    sample = sample_input(find_inputs([make(tmp_path)]), tmp_path)
    assert counted in sample.counted
    assert sample.num_records == pytest.approx(len(POSITIONS), rel=off)
    positions = sampled_positions(sample)
    assert set(positions) <= set(POSITIONS)
    dense = sum(pos < 20_000 for pos in positions) / len(positions)
    assert dense == pytest.approx(9_950 / 11_950, abs=0.11)
    stretches = {number: sorted(pos for pos in positions if positions[pos] == number) for number in positions.values()}
    assert all(stretch == POSITIONS[POSITIONS.index(stretch[0]) :][: len(stretch)] for stretch in stretches.values())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_sampled_by_the_columns_that_the_settings_name(tmp_path, small_limits, kind):
    path = tmp_path / f"variants.{kind}"
    rows = pa.table({"variant": [f"1-{pos}-{BASES[pos - 1]}-N" for pos in POSITIONS]})
    (csv.write_csv if kind == "csv" else pq.write_table)(rows, path)
    columns = TableColumns(id_column="variant")
    sample = sample_input(find_inputs([path]), tmp_path, columns)
    assert sample.num_records == len(POSITIONS)
    [reader] = open_readers(sample.files, columns)
    positions = pa.concat_tables([batch.table for batch in reader.batches([STRETCH])])
    assert len(positions) == 16 * 100
    assert set(positions["pos"].to_pylist()) <= set(POSITIONS)


def test_a_small_input_is_its_own_sample(tmp_path):
    path = plain(tmp_path)
    sample = sample_input(find_inputs([tmp_path]), tmp_path / "scratch")
    assert sample.is_whole
    assert sample.files.paths == [tmp_path]
    assert path.exists()


def test_files_are_sampled_by_what_they_hold(tmp_path, small_limits):
    few = vcf(tmp_path, snvs("1", BASES, POSITIONS[:300]), name="few.vcf")
    sample = sample_input(find_inputs([few, table(tmp_path)]), tmp_path)
    assert [file.path.name for file in sample.files] == ["sample-1.parquet"]  # the first stretch begins at record 383
    assert sample.num_records == pytest.approx(12_250, rel=0.02)


def test_genotypes_are_left_behind(tmp_path, small_limits):
    path = tmp_path / "cohort.vcf"
    lines = plain(tmp_path).read_text().splitlines()
    header, records = [line for line in lines if line[0] == "#"], [line for line in lines if line[0] != "#"]
    header[-1] += "\tFORMAT\tS1"
    path.write_text("\n".join([*header, *(f"{record}\tGT\t0/1" for record in records)]) + "\n")
    (sampled,) = sample_input(find_inputs([path]), tmp_path / "").files
    assert "GT" not in sampled.path.read_text()
    assert "S1" not in sampled.path.read_text()


def test_an_unsorted_table_is_refused(tmp_path, small_limits):
    with pytest.raises(InputError, match=r"not sorted by chrom and pos.*raygen ingest"):
        sample_input(find_inputs([table(tmp_path, POSITIONS[::-1])]), tmp_path)


def test_a_file_that_cannot_be_read_from_its_middle_is_refused_when_large(tmp_path, small_limits):
    import gzip

    path = tmp_path / "plain.vcf.gz"
    path.write_bytes(gzip.compress(plain(tmp_path).read_bytes()))
    with pytest.raises(InputError, match=r"gzip, which has no random access.*raygen ingest"):
        sample_input(find_inputs([path]), tmp_path)


def test_every_block_of_a_bgzip_file_can_be_found(tmp_path):
    with OpenText(bgzipped(tmp_path)) as text:
        firsts = [text.stretch(step / 50, 1).lines for step in range(50)]
    positions = [int(line.split(b"\t")[1]) for lines in firsts for line in lines]
    assert positions == sorted(positions)
    assert len(set(positions)) >= 5
