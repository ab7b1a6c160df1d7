import polars as pl
import pytest

from raygen.errors import InputError, SettingsError
from raygen.trials.labelled_sample import LabelsFile, sample_labelled
from raygen.variants.ingest import ingest
from tests.builders import InMemoryReference, random_bases, snvs, vcf

BASES = random_bases(1000, 1)
REFERENCE = InMemoryReference({"1": BASES})


@pytest.fixture
def folder(tmp_path):
    """SNVs at 1-based 101 to 400."""
    return ingest([vcf(tmp_path, snvs("1", BASES, range(101, 401)))], REFERENCE, tmp_path / "in").variants_dir


def labels(tmp_path, labelled, chrom="chr1", **columns):
    """A TSV of SNVs as ``snvs`` makes them, with a ``class`` for each 1-based position of ``labelled``."""
    records = [record.split(" ") for record in snvs("1", BASES, list(labelled))]
    place = {"chrom": [chrom] * len(records), "pos": list(labelled)}
    alleles = {"ref": [record[3] for record in records], "alt": [record[4] for record in records]}
    frame = pl.DataFrame({**place, **alleles, "class": list(labelled.values()), **columns})
    frame.write_csv(tmp_path / "labels.tsv", separator="\t")
    return LabelsFile(str(tmp_path / "labels.tsv"), "class", ["LOF"], ["FUNC"])


def test_only_variants_with_a_label_are_drawn_in_order_and_every_row_is_counted(tmp_path, folder):
    of_pos = {300: "LOF", 120: "FUNC", 121: "unsure", 700: "LOF", 150: "LOF"}
    sample = sample_labelled(folder, labels(tmp_path, of_pos), REFERENCE, 100)
    assert sample.variants["pos"].to_pylist() == [120, 150, 300]
    assert sample.positive.tolist() == [False, True, True]
    assert sample.genes == [None] * 3
    assert sample.counts == {"rows with labels": 5, "labelled": 4, "of them in the input": 3, "in the sample": 3}


@pytest.mark.parametrize("column", ["GENE", "geneinfo", "Symbol"])
def test_genes_are_known_by_the_usual_names_of_their_column(tmp_path, folder, column):
    file = labels(tmp_path, {101: "LOF", 102: "FUNC", 103: "FUNC"}, **{column: ["ONE", "", "."]})
    sample = sample_labelled(folder, file, REFERENCE, 100)
    assert (sample.gene_column, sample.genes) == (column, ["ONE", None, None])


def test_a_seed_gives_one_sample_of_the_labelled_and_another_seed_another(tmp_path, folder):
    file = labels(tmp_path, {pos: "LOF" if pos % 2 else "FUNC" for pos in range(101, 401)})
    positions = [sample_labelled(folder, file, REFERENCE, 60, seed).variants["pos"].to_pylist() for seed in (1, 1, 2)]
    assert positions[0] == positions[1] != positions[2]
    assert len(positions[0]) == 60


@pytest.mark.parametrize(
    ("labelled", "words"),
    [
        ({700: "LOF", 701: "FUNC"}, "None of the 2 variants that labels.tsv labels is among the 300 variants"),
        ({101: "LOF", 102: "LOF", 700: "FUNC"}, "All 2 labelled variants of the input are positive: without negative"),
    ],
)
def test_labels_that_can_compare_nothing_are_refused(tmp_path, folder, labelled, words):
    with pytest.raises(InputError, match=words):
        sample_labelled(folder, labels(tmp_path, labelled), REFERENCE, 100)


def test_a_sample_of_one_class_says_how_to_get_both(tmp_path, folder):
    file = labels(tmp_path, {pos: "LOF" if pos == 101 else "FUNC" for pos in range(101, 401)})
    with pytest.raises(InputError, match=r"of the sample are negative.* Take a larger --sample or another --seed"):
        sample_labelled(folder, file, REFERENCE, 20, seed=0)


def test_a_table_without_coordinates_or_without_the_column_is_refused(tmp_path, folder):
    (tmp_path / "ids.tsv").write_text("variant_id\tclass\n1-101-A-C\tLOF\n")
    with pytest.raises(InputError, match="has no chrom, pos, ref and alt"):
        sample_labelled(folder, LabelsFile(str(tmp_path / "ids.tsv"), "class"), REFERENCE, 100)
    with pytest.raises(SettingsError, match="has no column klass"):
        sample_labelled(folder, LabelsFile(str(tmp_path / "ids.tsv"), "klass"), REFERENCE, 100)


def test_labels_that_differ_only_in_how_an_indel_is_placed_are_joined(tmp_path):
    bases = "ACGT" * 10 + "GAAAAAC" + "ACGT" * 10
    reference = InMemoryReference({"1": bases})
    variants = vcf(tmp_path, ["1 41 . GA G", "1 41 . G T"])
    folder = ingest([variants], reference, tmp_path / "in").variants_dir
    placed = vcf(tmp_path, ["1 45 . AA A CLNSIG=Benign", "1 41 . G T CLNSIG=Pathogenic"], name="labels.vcf")
    header = '##INFO=<ID=CLNSIG,Number=1,Type=String,Description="x">\n#CHROM'
    placed.write_text(placed.read_text().replace("#CHROM", header))
    sample = sample_labelled(folder, LabelsFile(str(placed), "CLNSIG"), reference, 100)
    assert sorted(sample.positive.tolist()) == [False, True]
