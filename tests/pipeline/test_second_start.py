"""A second start of the same run finds the input of the first, its own output notwithstanding."""

from pathlib import Path

from raygen.pipeline.intake import take_input
from raygen.sequence.reference import open_reference
from raygen.settings import load_settings
from raygen.tables.layout import RunFolder
from tests.builders import fasta, random_bases, snvs, vcf
from tests.finished_runs import finished_run


def test_a_second_start_with_the_output_below_the_input_takes_what_the_first_took(tmp_path: Path) -> None:
    bases = random_bases(90)
    vcf(tmp_path, snvs("1", bases, [5, 9]))
    reference = open_reference(str(fasta(tmp_path, {"1": bases})))
    flags = {
        "input.variants": [str(tmp_path)],
        "input.reference": str(reference.path),
        "output.path": str(tmp_path / "out"),
    }
    settings = load_settings(None, given=flags)
    folder = RunFolder(str(tmp_path / "out"))
    folder.prepare()
    starts = []
    for _ in range(2):
        with folder.locked():
            starts.append(take_input(settings, folder, reference, 8192, {}))
        finished_run(tmp_path / "out", {f"1-5-{bases[4]}-{snvs('1', bases, [5])[0][-1]}": -1.0})
    assert starts[0] == starts[1]
    assert starts[0].num_variants == 2
    assert starts[0].warnings == [
        f"{tmp_path}: 2 entries are not read, being no file of variants: reference.fa, reference.fa.fai.",
        f"{tmp_path}: not read, because raygen wrote it: out/.",
    ]
