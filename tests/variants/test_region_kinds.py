import numpy as np
import pytest

from raygen.errors import InputError
from raygen.sequence.reference import open_reference
from raygen.variants.region_kinds import ELSEWHERE, RegionKinds, read_region_kinds, read_regions
from tests.builders import fasta


@pytest.fixture
def reference(tmp_path):
    return open_reference(str(fasta(tmp_path, {"chr1": "ACGT" * 10, "chr2": "ACGT" * 5})))


def bed(folder, text):
    path = folder / "kinds.bed"
    path.write_text(text)
    return str(path)


def kinds_at(kinds, chrom, first, last):
    return [kinds.names[number] for number in kinds.at(chrom, np.arange(first, last + 1))]


def test_a_position_has_the_kind_of_its_region_and_the_first_line_holds(tmp_path, reference):
    kinds, remarks = read_region_kinds(bed(tmp_path, "1\t2\t5\texon\n1\t0\t8\trepeat\nchr2\t19\t20\texon\n"), reference)
    expected = ["repeat"] * 2 + ["exon"] * 3 + ["repeat"] * 3 + [ELSEWHERE] * 2
    assert kinds_at(kinds, "chr1", 1, 10) == expected
    assert kinds_at(kinds, "chr2", 19, 20) == [ELSEWHERE, "exon"]
    assert kinds_at(kinds, "chr3", 1, 1) == kinds_at(kinds, None, 1, 1) == [ELSEWHERE]
    assert "overlap" in remarks[0]
    assert kinds.stretches("chr1") == [(1, 8)]
    again = RegionKinds.from_table(kinds.to_table())
    assert kinds_at(again, "chr1", 1, 10) == expected
    assert again.to_table().equals(kinds.to_table())


def test_stretches_of_regions_that_touch_are_one(tmp_path, reference):
    regions, _ = read_regions(
        bed(tmp_path, "chr1\t10\t20\nchr1\t20\t25\nchr1\t30\t31\nchr1\t12\t13\n"), reference, "neutral"
    )
    assert regions.stretches("chr1") == [(11, 25), (31, 31)]
    assert regions.stretches("chr2") == []


def test_a_region_without_a_kind_is_named(tmp_path, reference):
    with pytest.raises(InputError, match="region 2 has no fourth column"):
        read_region_kinds(bed(tmp_path, "chr1\t2\t5\texon\nchr1\t7\t8\n"), reference)


def test_regions_outside_the_contigs_are_refused(tmp_path, reference):
    with pytest.raises(InputError, match="it ends at 50, but chr1 has 40 bases"):
        read_regions(bed(tmp_path, "chr1\t2\t50\n"), reference, "neutral")
