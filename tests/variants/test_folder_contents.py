from __future__ import annotations

import gzip
from pathlib import Path

from raygen.variants.folder_contents import look_into, partitions_of, sort_out
from tests.variants.test_file_kinds import VCF


def put(folder: Path, names: list[str], content: bytes = b"x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_inputs_are_known_by_content_or_ending_and_all_else_is_named(tmp_path: Path) -> None:
    put(tmp_path, ["a.vcf", "B.VCF.GZ", "c.hard-filtered.gvcf.gz", "d.parq", "E.PARQUET", "f.bcf"])  # by their endings
    put(tmp_path, ["hail.vcf.bgz/part-00000.bgz", "plain", "z.gz"], gzip.compress(VCF))
    put(
        tmp_path,
        ["README", "g.csv", "h.vcf.part", "i.vcf.gz.tmp", "a.vcf.tbi", "_SUCCESS", ".hidden", ".j.vcf"],
        VCF[:8],
    )
    put(tmp_path, ["k.vcf.zst"], b"\x28\xb5\x2f\xfd")
    (tmp_path / "linked").symlink_to(tmp_path / "hail.vcf.bgz")
    contents = look_into(tmp_path)
    assert contents.inputs == [
        *("B.VCF.GZ", "E.PARQUET", "a.vcf", "c.hard-filtered.gvcf.gz", "d.parq", "f.bcf"),
        *("hail.vcf.bgz/part-00000.bgz", "plain", "z.gz"),
    ]
    assert contents.passed_over == [
        *(".j.vcf", "README", "g.csv", "h.vcf.part", "i.vcf.gz.tmp", "k.vcf.zst", "linked/ (a link)")
    ]
    assert contents.remarks("in") == [
        "in: 7 entries are not read, being no file of variants: .j.vcf, README, g.csv, h.vcf.part, i.vcf.gz.tmp "
        "and 2 more."
    ]


def test_folders_that_raygen_wrote_are_no_inputs() -> None:
    run = ["scores/chrom=1/part-x.parquet", "runs/20261121T221108Z-9c9dac/manifest.json", "rejects/part-x.parquet"]
    names = [
        *("a.vcf", "scores/b.parquet"),
        *(f"scored/{name}" for name in run),
        *("started/.raygen.lock", "started/rejects/part-x.parquet"),
        *("ingested/ingest.json", "ingested/variants/part-00000.parquet", "ingested/rejects/part-00000.parquet"),
        *("nights/current.json", "nights/notes.txt", *(f"nights/abc/{name}" for name in run)),
        *("mine/current.json", "mine/c.vcf", "mine/ingest.json", "mine/runs/manifest.json"),
    ]
    contents = sort_out(names, lambda name: b"")
    assert contents.inputs == ["a.vcf", "mine/c.vcf", "scores/b.parquet"]
    assert contents.outputs == ["ingested", "nights", "scored", "started"]
    assert contents.passed_over == ["mine/runs/manifest.json"]
    assert contents.remarks("in")[1] == "in: not read, because raygen wrote it: ingested/, nights/, scored/, started/."


def test_what_a_run_has_under_way_shows_its_folder() -> None:
    under_way = [
        ".ingest/0123456789abcdef/variants/part-00000.parquet",
        ".work/0123456789ab-000000-0123456789ab/rows.0.5.99.arrow",
        ".work/starts.20261121T221108Z-9c9dac/a.0123",
    ]
    names = [f"{number}/{name}" for number, name in enumerate(under_way)]
    assert sort_out(names, lambda name: b"").outputs == ["0", "1", "2"]


def test_a_user_s_own_runs_and_work_are_no_sign_of_raygen() -> None:
    names = [
        *("lab/runs/240101_A00123_0456_AHXXX/manifest.json", "lab/runs/240101_A00123_0456_AHXXX/a.vcf"),
        *("cohort/.work/ab/x.vcf", "cohort/.work/sample-0123456789ab/x.vcf", "cohort/.ingest/notes", "cohort/b.vcf"),
        *("lock/.raygen.lock/c", "lock/d.vcf", ".work/e"),
    ]
    contents = sort_out(names, lambda name: b"")
    assert contents.inputs == ["cohort/b.vcf", "lab/runs/240101_A00123_0456_AHXXX/a.vcf", "lock/d.vcf"]
    assert contents.outputs == []


def test_of_a_run_s_own_folder_the_tables_are_left_out() -> None:
    names = ["a.vcf", ".raygen.lock", "scores/chrom=1/part-x.parquet", "rejects/part-x.parquet", "variants/b.vcf"]
    contents = sort_out(names, lambda name: b"")
    assert (contents.inputs, contents.outputs) == (["a.vcf", "variants/b.vcf"], ["rejects", "scores"])


def test_partitions_are_text_as_hive_writes_it() -> None:
    assert partitions_of("chrom=01/sub/tier=a%2Fb/x=1.parquet") == {"chrom": "01", "tier": "a/b"}
    assert partitions_of("chrom=__HIVE_DEFAULT_PARTITION__/a.parquet") == {"chrom": None}
    assert partitions_of("a.parquet") == {}
