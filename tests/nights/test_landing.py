import errno
import os
from pathlib import Path

import pytest

from raygen.errors import InputError
from raygen.nights.landing import Landing, as_input, changed_since, look_at, where_to_read
from tests.object_storage import s3_server


def put(folder: Path, name: str, content: str = "x") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def forbid(monkeypatch, name: str) -> None:
    """As `chmod 000` does for any user but root, who runs the tests."""
    real = Path.open

    def refused(path, *arguments, **options):
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)


def names(landing) -> list[str]:
    return [file.name for file in landing.new]


def test_new_files_are_found_below_the_folder_and_others_passed_over(tmp_path):
    for number, name in enumerate(["b.vcf", "sub/a.vcf.gz", "c.parquet", "d.bcf"]):
        put(tmp_path, name, str(number))
    for name in ["e.vcf.part", ".f.vcf", "_tmp/g.vcf", "readme.txt", "h.vcf.tbi"]:
        put(tmp_path, name)
    landing = look_at(str(tmp_path), 0, [])
    assert names(landing) == ["b.vcf", "c.parquet", "d.bcf", "sub/a.vcf.gz"]
    assert landing.passed_over == (
        f"{tmp_path}: 4 entries are not read, being no file of variants: .f.vcf, _tmp/g.vcf, e.vcf.part, readme.txt.",
    )


def test_new_files_are_known_by_content_and_outputs_are_left_out(tmp_path):
    for number, name in enumerate(["part-00000.bgz", "A.GVCF.GZ", "plain", "copy.vcf.part"]):
        put(tmp_path, name, f"##fileformat=VCFv4.2\n{number}")
    put(tmp_path, "out/abc/runs/20261121T221108Z-9c9dac/manifest.json")
    put(tmp_path, "out/abc/scores/chrom=1/part-x.parquet")
    landing = look_at(str(tmp_path), 0, [])
    assert names(landing) == ["A.GVCF.GZ", "part-00000.bgz", "plain"]
    assert landing.passed_over[1] == f"{tmp_path}: not read, because raygen wrote it: out/abc/."


def test_a_table_partitioned_by_contig_lands_as_one(tmp_path):
    put(tmp_path, "t/chrom=01/a.parquet")
    assert as_input(str(tmp_path), "t/chrom=01/a.parquet").partitions == {"chrom": "01"}


def test_equal_bytes_in_other_partitions_are_other_rows(tmp_path):
    for name in ("t/chrom=1/a.parquet", "t/chrom=2/a.parquet", "u/chrom=1/copy.parquet", "u/a.parquet"):
        put(tmp_path, name)
    landing = look_at(str(tmp_path), 0, [])
    assert names(landing) == ["t/chrom=1/a.parquet", "t/chrom=2/a.parquet", "u/a.parquet"]
    assert landing.known == ("u/chrom=1/copy.parquet",)
    assert look_at(str(tmp_path), 0, [file.as_plain() for file in landing.new]).new == ()


def test_folders_say_nothing_about_a_vcf(tmp_path):
    for name in ("chrom=1/a.vcf", "chrom=2/a.vcf"):
        put(tmp_path, name, "##fileformat=VCFv4.2\n")
    landing = look_at(str(tmp_path), 0, [])
    assert (names(landing), landing.known) == (["chrom=1/a.vcf"], ("chrom=2/a.vcf",))


def test_a_file_that_just_changed_waits_whatever_date_its_content_has(tmp_path):
    path = put(tmp_path, "a.vcf")
    os.utime(path, (1, 1))  # as `cp -p` and rsync leave it
    landing = look_at(str(tmp_path), 3600, [])
    assert (names(landing), landing.settling) == ([], ("a.vcf",))
    assert names(look_at(str(tmp_path), 0, [])) == ["a.vcf"]


def test_a_file_is_known_by_its_content_not_by_its_name_or_date(tmp_path):
    taken = [file.as_plain() for file in (put(tmp_path, "a.vcf"), look_at(str(tmp_path), 0, []))[1].new]
    os.utime(tmp_path / "a.vcf", (5, 5))
    put(tmp_path, "renamed.vcf")
    landing = look_at(str(tmp_path), 0, taken)
    assert (names(landing), landing.known) == ([], ("a.vcf", "renamed.vcf"))
    put(tmp_path, "a.vcf", "other")
    assert names(look_at(str(tmp_path), 0, taken)) == ["a.vcf"]


def test_two_new_files_of_one_content_are_one(tmp_path):
    put(tmp_path, "a.vcf")
    put(tmp_path, "b.vcf")
    landing = look_at(str(tmp_path), 0, [])
    assert (names(landing), landing.known) == (["a.vcf"], ("b.vcf",))


def test_a_file_that_changed_or_went_while_it_was_read_is_named(tmp_path):
    put(tmp_path, "a.vcf")
    put(tmp_path, "b.vcf", "y")
    put(tmp_path, "c.vcf", "z")
    files = look_at(str(tmp_path), 0, []).new
    put(tmp_path, "a.vcf", "longer")
    (tmp_path / "b.vcf").unlink()
    assert changed_since(str(tmp_path), files) == ["a.vcf", "b.vcf"]


def test_a_folder_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        look_at(str(tmp_path / "none"), 0, [])
    put(tmp_path, "a.vcf", "x")
    with pytest.raises(InputError, match=r"a\.vcf: a file, not a folder"):
        look_at(str(tmp_path / "a.vcf"), 0, [])


def test_a_file_that_cannot_be_read_holds_up_none_of_the_others(tmp_path, monkeypatch):
    for name in ("a.vcf", "b.vcf", "c.vcf"):
        put(tmp_path, name, name)
    forbid(monkeypatch, "b.vcf")
    landing = look_at(str(tmp_path), 0, [])
    assert names(landing) == ["a.vcf", "c.vcf"]
    assert landing.unreadable == {"b.vcf": "it cannot be read: Permission denied"}
    monkeypatch.undo()
    assert names(look_at(str(tmp_path), 0, [file.as_plain() for file in landing.new])) == ["b.vcf"]


def test_a_file_that_goes_while_the_folder_is_looked_at_holds_up_none_of_the_others(tmp_path, monkeypatch):
    put(tmp_path, "a.vcf")
    gone = tmp_path / "gone.vcf"
    monkeypatch.setattr("raygen.nights.landing._files", lambda folder: ({gone.name: None, "a.vcf": None}, []))
    landing = look_at(str(tmp_path), 0, [])
    assert (names(landing), list(landing.unreadable)) == (["a.vcf"], ["gone.vcf"])


def test_a_prefix_on_object_storage_is_listed_and_only_what_is_new_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYGEN_CACHE", str(tmp_path / "cache"))
    with s3_server() as server:
        folder = server.uri("landing")
        assert look_at(folder, 3600, []) == Landing((), (), ())
        for name in ("a.vcf", "sub/b.vcf", ".c.vcf", "notes.txt"):
            server.put(f"landing/{name}", name.encode())
        server.put("landing/out/runs/20261121T221108Z-9c9dac/manifest.json", b"{}")
        first = look_at(folder, 3600, [])  # an object that is listed is whole
        assert [remark.partition(": ")[2] for remark in first.passed_over] == [
            "2 entries are not read, being no file of variants: .c.vcf, notes.txt.",
            "not read, because raygen wrote it: out/.",
        ]
        assert names(first) == ["a.vcf", "sub/b.vcf"]
        assert where_to_read(folder, "sub/b.vcf").read_bytes() == b"sub/b.vcf"
        assert changed_since(folder, first.new) == []
        server.put("landing/a.vcf", b"other content")
        assert changed_since(folder, first.new) == ["a.vcf"]
        before = server.count("GET", "/landing/sub/b.vcf")
        second = look_at(folder, 3600, [file.as_plain() for file in first.new])
        assert (names(second), second.known) == (["a.vcf"], ("sub/b.vcf",))
        assert server.count("GET", "/landing/sub/b.vcf") == before
