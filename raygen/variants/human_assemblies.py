"""Is a reference a human one? Known by the lengths of its chromosomes, whatever they are called.

In: lengths of contigs by name. Out: ``GRCh37``, ``GRCh38``, ``T2T-CHM13``, or None. Lengths are those of the assemblies' own reports at
NCBI (GCA_000001405.1, GCA_000001405.15, GCA_009914755.4). The mitochondrion decides nothing: GRCh38 and CHM13 share one.
"""

from __future__ import annotations

from collections.abc import Mapping

from raygen.variants.contig_names import resolve_contig

_CHROMOSOMES = (*(str(number) for number in range(1, 23)), "X", "Y")
_LENGTHS = {
    "GRCh37": (
        *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431, 135534747),
        *(135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983, 63025520),
        *(48129895, 51304566, 155270560, 59373566),
    ),
    "GRCh38": (
        *(248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422),
        *(135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167),
        *(46709983, 50818468, 156040895, 57227415),
    ),
    "T2T-CHM13": (
        *(248387328, 242696752, 201105948, 193574945, 182045439, 172126628, 160567428, 146259331, 150617247, 134758134),
        *(135127769, 133324548, 113566686, 101161492, 99753195, 96330374, 84276897, 80542538, 61707364, 66210255),
        *(45090682, 51324926, 154259566, 62460029),
    ),
}


def human_assembly(lengths: Mapping[str, int]) -> str | None:
    """The assembly that most chromosomes of a reference are of; None where none of them has a human length."""
    named = {name: resolve_contig(name, lengths) for name in _CHROMOSOMES}
    matches = {
        assembly: sum(
            lengths.get(named[name] or "") == length for name, length in zip(_CHROMOSOMES, known, strict=True)
        )
        for assembly, known in _LENGTHS.items()
    }
    best = max(matches, key=lambda assembly: matches[assembly])
    return best if matches[best] else None
