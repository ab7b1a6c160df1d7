"""Human references are known by the lengths of their chromosomes."""

import pytest

from raygen.variants.human_assemblies import human_assembly


@pytest.mark.parametrize(
    ("lengths", "assembly"),
    [
        ({"chr1": 248956422, "chrM": 16569}, "GRCh38"),
        ({"20": 63025520}, "GRCh37"),  # one chromosome alone, as Ensembl names it
        ({"chr1": 248387328, "chr2": 242696752, "chrY": 57227415}, "T2T-CHM13"),  # the first release had GRCh38's Y
        ({"MT": 16569}, None),
        ({"chr1": 195154279, "chrX": 169476592}, None),  # a mouse
        ({}, None),
    ],
)
def test_an_assembly_is_known_by_the_lengths_of_its_chromosomes(lengths, assembly):
    assert human_assembly(lengths) == assembly
