"""A full disk is exit code 4 and a read-only one 2, whoever writes; what was there before stays, and nothing hidden is left.

The disk is a real one of 1 MiB, so that each library says what it says.
"""

import errno
import math
import sqlite3
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from raygen.demo.main import run_demo
from raygen.disk_errors import disk_errors, full_disk
from raygen.errors import InputError, RaygenError, SettingsError, StoppedError
from raygen.finished.diff import compare_scores, joined_windows
from raygen.finished.diff_tally import Tally
from raygen.finished.export import export_scores
from raygen.finished.reclassify import reclassify
from raygen.model.convert import convert_named
from raygen.model.random_checkpoint import write_random_checkpoint
from raygen.pages.explain_picture import write_picture
from raygen.planning.sampling import sample_input
from raygen.sequence.reference import open_reference
from raygen.tables import iceberg
from raygen.tables.compact import compact
from raygen.tables.fingerprints import FingerprintTables
from raygen.tables.layout import RunFolder
from raygen.tables.locks import lock_folder, night_lock
from raygen.tables.place import keep_json, put_first, put_folder_in_place, put_in_place, refuse_unwritable, write_text
from raygen.tables.score_index import ScoreIndex
from raygen.trials import saturate
from raygen.variants.ingest import ingest
from raygen.variants.inputs import find_inputs
from raygen.variants.pairs import ingest_pairs
from tests.builders import fasta, random_bases, snvs, vcf
from tests.cli.test_cli import raygen  # noqa: F401  (a fixture)
from tests.finished_runs import finished_run
from tests.model.models import small_config
from tests.model.published_evo2 import write_published
from tests.pipeline.faults import fill_disk
from tests.position_tables import write_positions
from tests.tables.tables_on_disk import commit
from tests.trials.test_explain_text import CUTS, explained

BASES = random_bases(3000, 5)
TABLE = pa.table({"x": np.random.default_rng(0).normal(size=300_000)})


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """What writers read, on a disk with room: a reference, a VCF and two finished runs of its variants."""
    folder = tmp_path_factory.mktemp("room")
    reference = fasta(folder, {"1": BASES})
    vcf(folder, snvs("1", BASES, range(1, 2000)))
    names = {f"1-{pos}-{BASES[pos - 1]}-{alt}": -pos / 100 for pos in range(1, 2000) for alt in "ACGT"}
    deltas = {name: delta for name, delta in names.items() if name[-1] != name[-3]}
    finished_run(folder / "old", deltas, reference=reference, shard_rows=3000)
    finished_run(
        folder / "new", {name: 3 * delta for name, delta in deltas.items()}, reference=reference, shard_rows=3000
    )
    write_positions(folder / "positions", {"1": random_bases(200_000)})
    schema = {"pair_id": ["a"] * 3000, "wt_sequence": [BASES] * 3000, "mut_sequence": [BASES[::-1]] * 3000}
    pq.write_table(pa.table(schema), folder / "pairs.parquet")
    labelled_table().write_parquet(folder / "labelled.parquet")
    return folder


def labelled_table():
    """600 SNVs: a third positive, with deltas about 3 nats lower."""
    generator = np.random.default_rng(0)
    positive = np.arange(600) % 3 == 0
    columns = {"chrom": ["1"] * 600, "pos": range(1, 601), "ref": ["A"] * 600, "alt": ["C"] * 600}
    columns |= {"delta_llr": generator.normal(size=600) - 3 * positive, "fingerprint": ["f" * 16] * 600}
    return pl.DataFrame({**columns, "CLNSIG": np.where(positive, "Pathogenic", "Benign")})


def save_safetensors(path):
    with put_in_place(path) as partial:
        save_file({"weight": torch.zeros(500_000)}, partial)


def save_sqlite(path):
    with put_in_place(path) as partial:
        table = sqlite3.connect(partial)
        try:
            table.execute("create table t(x)")
            table.executemany("insert into t values (?)", [("x" * 1000,)] * 1000)
            table.commit()
        finally:
            table.close()


def save_ipc(path):
    with (
        put_in_place(path) as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, TABLE.schema) as writer,
    ):
        writer.write_table(TABLE)


def save_polars(path):
    with put_in_place(path) as partial:
        pl.from_arrow(TABLE).write_parquet(partial)


def save_first(path):
    path.unlink()
    try:
        put_first(path, bytes(4096))
    finally:
        path.write_bytes(b"")  # takes no room


def bigwig(room, path):
    pytest.importorskip("pybigtools", reason="pybigtools, which writes bigWigs, is not installed (raygen[browser])")
    export_scores(str(room / "positions"), str(path))


def explain_as(path):
    write_picture(explained(), CUTS, "", str(path))


FILES = {
    "text": ("a.txt", lambda room, path: write_text(path, "x" * 4096)),
    "Arrow": ("a.arrow", lambda room, path: save_ipc(path)),
    "safetensors": ("a.safetensors", lambda room, path: save_safetensors(path)),
    "SQLite": ("a.db", lambda room, path: save_sqlite(path)),
    "Polars": ("a.parquet", lambda room, path: save_polars(path)),
    **{
        f"export {end}": (f"a{end}", lambda room, path: export_scores(str(room / "old"), str(path)))
        for end in (".parquet", ".csv", ".tsv", ".tsv.gz", ".vcf", ".vcf.gz", ".bcf", ".cadd.tsv.gz")
    },
    **{
        f"track {end}": (f"a{end}", lambda room, path: export_scores(str(room / "positions"), str(path)))
        for end in (".bedgraph", ".bedgraph.gz")
    },
    "track .bw": ("a.bw", lambda room, path: bigwig(room, path)),
    "diff": ("a.csv", lambda room, path: compare_scores(str(room / "old"), str(room / "new"), changes_to=str(path))),
    "svg": ("a.svg", lambda room, path: explain_as(path)),
    "png": ("a.png", lambda room, path: explain_as(path)),
    "saturate": ("a.parquet", lambda room, path: saturate._write(all_variants(room), path)),
}


def all_variants(room):
    columns = ["chrom", "pos", "ref", "alt"]
    return pa.Table.from_pylist([dict(zip(columns, ("1", pos, "A", "C"), strict=True)) for pos in range(5000)])


@pytest.mark.parametrize(("name", "write"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_file_is_whole_or_as_before(small_disk, room, name, write, state):
    disk, remount = small_disk
    path = disk / "folder" / name
    path.parent.mkdir()
    path.write_text("earlier")
    refuse(disk, remount, state, lambda: write(room, path), path)
    assert path.read_text() == "earlier"
    assert [one.name for one in path.parent.iterdir()] == [name]


def refuse(disk, remount, state, write, place):
    """Let ``write`` meet a full or a read-only disk, and look at its error."""
    if state == "full":
        fill_disk(disk / "ballast")
        with pytest.raises(
            StoppedError, match=r"^The disk of .* is full\. Make room and run the same command again\."
        ) as raised:
            write()
    else:
        remount("ro")
        with pytest.raises(SettingsError, match=r"cannot be written") as raised:
            write()
    assert raised.value.exit_code == (4 if state == "full" else 2)
    assert not place or str(place) in str(raised.value)
    remount("rw")


def ingest_into(room, path):
    ingest([room / "variants.vcf"], open_reference(str(room / "reference.fa")), path)


def checkpoint_into(room, path):
    write_random_checkpoint(path, small_config(), seed=0)


def folder_of_text(room, path):
    with put_folder_in_place(path) as partial:
        (partial / "a").write_text("x" * 4096)


FOLDERS = {
    "folder": folder_of_text,
    "ingest": ingest_into,
    "pairs": lambda room, path: ingest_pairs([str(room / "pairs.parquet")], path, 8192),
    "checkpoint": checkpoint_into,
    "reclassify": lambda room, path: reclassify(str(room / "old"), str(path), (-9.0, -8.0, -7.0, math.inf)),
    "demo": lambda room, path: run_demo(path, say=lambda message: None, last=3232),
}


@pytest.mark.parametrize("write", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_folder_is_whole_or_not_there(small_disk, room, write, state):
    disk, remount = small_disk
    (disk / "folder").mkdir()
    path = disk / "folder" / "new"
    refuse(disk, remount, state, lambda: write(room, path), None)
    assert not [one for one in path.parent.rglob("*") if one.is_file() and one.name != ".raygen.lock"]
    assert not [one for one in path.parent.iterdir() if one.name.startswith(".")]


@pytest.fixture
def table(small_disk):
    """A folder of scores on the small disk, of a few shards."""
    folder = RunFolder(str(small_disk[0] / "folder"))
    folder.prepare()
    for number in range(3):
        commit(folder, f"a-{number:06d}", "1", range(1 + number, 301, 3))
    return folder


def files_of(folder):
    return {
        path: path.read_bytes()
        for path in Path(folder.path).rglob("*")
        if path.is_file() and path.name != ".raygen.lock"
    }


def write_once(folder):
    folder.write_first("scorer.json", bytes(4096))


def take_night(folder):
    with night_lock(Path(folder.path)):
        raise AssertionError("a lock without a note")


CHANGES = {
    "compact": lambda folder: compact(folder.path),
    "commit": lambda folder: commit(folder, "b-000000", "1", range(1000, 9000)),
    "manifest": lambda folder: folder.write_manifest("r", {"a": "x" * 4096}),
    "write_first": write_once,
    "iceberg": lambda folder: iceberg.publish(folder, "f" * 16, None),
    "night": take_night,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_table_stays_as_it_was(small_disk, table, change, state):
    before = files_of(table)
    refuse(*small_disk, state, lambda: change(table), small_disk[0] / "folder")
    after = files_of(table)
    assert {path: content for path, content in after.items() if "iceberg" not in path.parts} == before
    assert not [path for path in Path(table.path).rglob(".*") if path.name not in (".raygen.lock",)]


def test_a_lock_on_a_read_only_disk_is_refused(small_disk, table):
    refuse(*small_disk, "read-only", lambda: lock_folder(table.path, table.path).__enter__(), table.path)


def test_a_reference_that_finds_no_room_in_the_cache_comes_when_there_is_some(small_disk, tmp_path, monkeypatch):
    disk, _ = small_disk
    monkeypatch.setenv("RAYGEN_CACHE", str(disk / "cache"))
    reference = fasta(tmp_path, {"1": random_bases(100_000)})
    fill_disk(disk / "ballast")
    with pytest.raises(
        StoppedError, match=r"is full\. Make room and run the same command again\. RAYGEN_CACHE can name"
    ):
        open_reference(str(reference))
    (disk / "ballast").unlink()
    assert open_reference(str(reference)).lengths == {"1": 100_000}
    assert not list(disk.rglob(".*"))


def test_a_reference_on_a_full_disk_is_read_and_leaves_no_half_an_index(small_disk):
    disk, _ = small_disk
    reference = fasta(disk, {str(number): "ACGT" for number in range(2000)})
    fill_disk(disk / "ballast")
    assert len(open_reference(str(reference)).lengths) == 2000
    assert {path.name for path in disk.iterdir()} == {"ballast", "reference.fa"}


def test_scratch_files_name_their_own_disk(small_disk, room):
    disk, _ = small_disk
    fill_disk(disk / "ballast")
    tally = Tally(10)
    tally.scratch = disk
    with pytest.raises(StoppedError, match=f"The disk of {disk} is full"):
        compare_into(room, tally)


def compare_into(room, tally):
    for contig, joined in joined_windows(ScoreIndex(str(room / "old")), ScoreIndex(str(room / "new"))):
        tally.add(contig, joined)


def test_what_is_kept_for_the_next_time_is_no_reason_to_stop(small_disk):
    disk, remount = small_disk
    remount("ro")
    keep_json(disk / "a.json", {"a": 1})
    remount("rw")
    keep_json(disk / "a.json", {"a": 1})
    assert [path.name for path in disk.iterdir()] == ["a.json"]


COMMANDS = {
    "ingest": ["ingest", "ROOM/variants.vcf", "--reference", "ROOM/reference.fa", "--out", "DISK/new"],
    "export": ["export", "ROOM/old", "--to", "DISK/a.vcf.gz"],
    "query": ["query", "ROOM/old", "--region", "1:1-2000", "--out", "DISK/a.parquet"],
    "diff": ["diff", "ROOM/old", "ROOM/new", "--page", "DISK/a.html"],
    "diff --out": ["diff", "ROOM/old", "ROOM/new", "--out", "DISK/a.tsv"],
    "reclassify": ["reclassify", "ROOM/old", "--cuts=-9,-8,-7,inf", "--out", "DISK/new"],
    "card": ["card", "ROOM/old", "--out", "DISK/a.md"],
    "demo": ["demo", "--out", "DISK/new"],
    "evaluate --json": [
        *["evaluate", "--scores", "ROOM/labelled.parquet", "--label-column", "CLNSIG", "--json", "DISK/a.json"]
    ],
    "evaluate --page": [
        *["evaluate", "--scores", "ROOM/labelled.parquet", "--label-column", "CLNSIG", "--page", "DISK/a.html"]
    ],
    "calibrate": [
        *["calibrate", "--scores", "ROOM/labelled.parquet", "--label-column", "CLNSIG", "--out", "DISK/a.json"]
    ],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("state", "wanted"), [("full", 4), ("read-only", 2)])
def test_every_command_ends_with_the_same_code(small_disk, room, raygen, arguments, state, wanted):  # noqa: F811
    disk, remount = small_disk
    if state == "full":
        fill_disk(disk / "ballast")
    else:
        remount("ro")
    code, _, message = raygen(
        *(argument.replace("ROOM", str(room)).replace("DISK", str(disk)) for argument in arguments)
    )
    assert (code, ("is full" in message, "cannot be written" in message)) == (
        wanted,
        (state == "full", state != "full"),
    )
    remount("rw")
    assert {path.name for path in disk.iterdir()} <= {"ballast", "new"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_that_nobody_met_where_it_came_up_is_exit_code_4_too(raygen, monkeypatch, number):  # noqa: F811
    def full(*arguments, **options):
        raise OSError(number, "words", "/some/where/file")

    monkeypatch.setattr("raygen.cli.entry.app", full)
    code, _, message = raygen("doctor")
    assert (code, "The disk of /some/where is full" in message) == (4, True)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            OSError(errno.EDQUOT, ""),
            StoppedError,
            "The disk of /a/b is full. Make room and run the same command again.",
        ),
        (
            OSError(errno.EIO, ""),
            StoppedError,
            "/a/b could not be written: Input/output error. Run the same command again",
        ),
        (OSError(errno.EROFS, ""), SettingsError, "/a/b cannot be written: Read-only file system."),
        (PermissionError(errno.EACCES, "", "/a/.x.b"), SettingsError, "/a/b cannot be written: Permission denied."),
        (PermissionError(errno.EACCES, "", "/a/.b.x"), SettingsError, "/a/b cannot be written: Permission denied."),
        (PermissionError(errno.EACCES, "", "/a/b/c"), SettingsError, "/a/b cannot be written: Permission denied."),
        (PermissionError(errno.EACCES, "", "/a/b.vcf"), PermissionError, "/a/b.vcf"),
        (OSError(errno.EIO, "", "/a/cab.vcf"), OSError, "/a/cab.vcf"),
        (PermissionError(errno.EACCES, "", "/a/.cab.vcf"), PermissionError, "/a/.cab.vcf"),
        (FileNotFoundError(errno.ENOENT, "", "/other/read"), FileNotFoundError, "/other/read"),
        (FileNotFoundError(errno.ENOENT, "", "/a/read"), FileNotFoundError, "/a/read"),
        (OSError(errno.ENOSPC, "", "/tmp/other/x"), StoppedError, "The disk of /tmp/other is full"),
        (ValueError("No space left on device (os error 28)"), ValueError, "No space"),
        (InputError("a row"), InputError, "a row"),
    ],
)
def test_the_rule(error, kind, words):
    with pytest.raises(kind) as raised, disk_errors("/a/b"):
        raise error
    assert words in str(raised.value)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("message", "kind", "exit_code"),
    [
        ("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7", StoppedError, 4),
        ("AWS Error UNKNOWN (HTTP status 503) during PutObject operation: Slow down", StoppedError, 4),
        ("AWS Error NO_SUCH_BUCKET during PutObject operation: no bucket", SettingsError, 2),
        ("AWS Error ACCESS_DENIED during PutObject operation: no", SettingsError, 2),
    ],
)
def test_object_storage_that_does_not_answer_is_no_wrong_setting(message, kind, exit_code):
    with (
        pytest.raises(kind, match=r"^s3://bucket/out c.* be written: AWS Error") as raised,
        disk_errors("s3://bucket/out"),
    ):
        raise OSError(message)
    assert raised.value.exit_code == exit_code


def test_no_disk_of_this_machine_is_asked_about_object_storage():
    with pytest.raises(OSError, match="CRC checksum") as raised, disk_errors("s3://bucket/out"):
        raise OSError("CRC checksum verification failed")
    assert type(raised.value) is OSError


def test_only_a_full_disk_is_one():
    assert full_disk(OSError(errno.EACCES, "")) is None
    assert str(full_disk(OSError(errno.ENOSPC, ""))).startswith("The disk is full.")


def test_a_sample_that_finds_no_room_says_so(small_disk, room, monkeypatch):
    disk, _ = small_disk
    monkeypatch.setattr("raygen.planning.sampling.WHOLE_RECORDS", 100)
    fill_disk(disk / "ballast")
    with pytest.raises(StoppedError, match=f"The disk of {disk} is full"):
        sample_input(find_inputs([room / "variants.vcf"]), disk)


def test_a_pointer_is_not_moved_on_a_full_disk(small_disk):
    disk, _ = small_disk
    tables = FingerprintTables(str(disk / "folder"))
    tables.point_to("a" * 16)
    fill_disk(disk / "ballast")
    with pytest.raises(StoppedError, match="is full"):
        tables.point_to("b" * 16)
    assert tables.current().fingerprint == "a" * 16


def test_a_conversion_that_fails_leaves_nothing_on_a_full_disk(small_disk, tmp_path):
    disk, _ = small_disk
    fill_disk(disk / "ballast")
    file = write_published(tmp_path / "evo2_7b.pt", {"x": torch.zeros(10)})
    with pytest.raises(RaygenError):
        convert_named(str(file), disk / "model")
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_an_index_of_an_earlier_file_goes_with_it(tmp_path):
    (tmp_path / "a.tbi").write_text("of the earlier file")
    with put_in_place(tmp_path / "a", beside=(".tbi",)) as partial:
        partial.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_came_meanwhile_is_not_written_over(tmp_path):
    def write(**options):
        with put_folder_in_place(tmp_path / "a", **options) as partial:
            (partial / "mine").write_text("")
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "a" / "theirs").write_text("")

    with pytest.raises(FileExistsError):
        write()
    write(is_same=lambda written, standing: True)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "theirs"]


def test_a_place_that_cannot_be_written_is_seen_before_the_work(small_disk):
    disk, remount = small_disk
    remount("ro")
    with pytest.raises(SettingsError, match="Read-only file system"):
        refuse_unwritable(disk / "a.json")
