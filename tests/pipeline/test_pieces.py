"""How a shard is divided, without Ray: what is kept, and how rows that kill are found."""

from collections import Counter

import pyarrow as pa
import pytest

from raygen.errors import StoppedError
from raygen.pipeline.pieces import ActorStart, Kept, Piece, ShardPieces, forget, forget_all, kept_in_pieces, next_piece
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder

IDENTITY = Identity("f" * 16, "r" * 64)
IDS = pa.chunked_array([[f"v{number}" for number in range(100)]])


@pytest.fixture
def folder(tmp_path):
    return RunFolder(str(tmp_path / "out"))


def pieces(folder, run="run", ids=IDS, identity=IDENTITY):
    return ShardPieces(folder, run, "stem-000001", identity, ids)


def test_where_nothing_died_pieces_are_as_long_as_usual():
    assert next_piece(0, 100, 64, {}) == Piece(0, 64)
    assert next_piece(64, 100, 64, {}) == Piece(64, 100)


def test_one_death_is_tried_again_and_two_divide():
    assert next_piece(0, 100, 64, {(0, 64): 1}) == Piece(0, 64)
    assert next_piece(0, 100, 64, {(0, 64): 2}) == Piece(0, 8)
    assert next_piece(8, 100, 64, {(0, 64): 2}) == Piece(8, 16)
    assert next_piece(64, 100, 64, {(0, 64): 2}) == Piece(64, 100)


def test_a_row_is_convicted_when_it_killed_twice_alone():
    deaths = {(0, 64): 2, (8, 16): 1}
    assert next_piece(8, 100, 64, deaths) == Piece(8, 9)
    assert next_piece(8, 100, 64, {**deaths, (8, 9): 1}) == Piece(8, 9)
    assert next_piece(8, 100, 64, {**deaths, (8, 9): 2}) == Piece(8, 9, convicted=True)


@pytest.mark.parametrize("bad", [{0}, {63}, {17, 18}, {5, 40, 99}, set(range(100))])
def test_every_row_that_kills_is_found_and_no_other(bad):
    deaths: Counter = Counter()
    convicted, at, processes = set(), 0, 0
    while at < 100:
        piece = next_piece(at, 100, 64, deaths)
        rows = set(range(piece.start, piece.stop))
        if piece.convicted:
            convicted |= rows
        elif rows & bad:
            deaths[piece.start, piece.stop] += 1
            processes += 1
            continue
        at = piece.stop
    assert convicted == bad
    assert processes <= 5 * len(bad)


def test_pieces_are_kept_and_found_again_by_another_run(folder):
    mine = pieces(folder)
    for start, stop in ((0, 30), (30, 50), (70, 80)):
        mine.keep(Piece(start, stop), pa.table({"row": list(range(start, stop))}), tokens=10)
    found, tokens = pieces(folder, run="another").scored_before()
    assert pa.concat_tables(found)["row"].to_pylist() == list(range(50))
    assert tokens == 20
    assert kept_in_pieces(folder) == {"stem-000001": Kept(60, 30)}
    forget(folder, "stem-000001", IDENTITY, IDS)
    assert kept_in_pieces(folder) == {}


def test_what_another_input_keeps_stays_when_all_of_one_are_committed(folder):
    for stem in ("mine", "other"):
        ShardPieces(folder, "run", f"{stem}-000001", IDENTITY, IDS).keep(Piece(0, 2), pa.table({"row": [0, 1]}), 5)
    forget_all(folder, {"mine-000001"})
    assert kept_in_pieces(folder) == {"other-000001": Kept(2, 5)}
    forget_all(folder, {"other-000001"})
    assert kept_in_pieces(folder) == {}


def test_other_rows_or_another_model_find_nothing(folder):
    pieces(folder).keep(Piece(0, 2), pa.table({"row": [0, 1]}), tokens=10)
    assert pieces(folder, ids=IDS.slice(1)).scored_before() == ([], 0)
    assert pieces(folder, identity=Identity("e" * 16, "r" * 64)).scored_before() == ([], 0)


def test_a_try_that_ended_accuses_nobody_and_one_that_did_not_does(folder):
    mine = pieces(folder)
    mine.end(mine.begin(Piece(0, 64)))
    mine.begin(Piece(0, 64))
    assert pieces(folder).next(0, 10) == Piece(0, 64)
    assert pieces(folder, run="another").next(0, 10) == Piece(0, 10)


def test_the_reason_is_what_the_process_said_before_it_ended(folder):
    for reason in ("", "CUDA error"):
        mine = pieces(folder)
        attempt = mine.begin(Piece(3, 4))
        if reason:
            mine.give_up(attempt, reason)
    assert pieces(folder).reason(Piece(3, 4)) == "its process died 2 times on this row alone: CUDA error"


def test_a_shard_that_kills_without_end_stops_the_run(folder):
    mine = pieces(folder)
    for _ in range(64):
        mine.begin(Piece(0, 64))
    with pytest.raises(StoppedError, match="took 64 processes"):
        pieces(folder)


def test_an_actor_that_dies_at_every_start_says_so(folder):
    start = ActorStart(folder, "run", "actor")
    for _ in range(3):
        start.begin("loading the model")
    ActorStart(folder, "run", "another").begin("loading the model")
    with pytest.raises(StoppedError, match="died 3 times while loading the model"):
        start.begin("loading the model")


def test_a_start_that_succeeds_is_forgotten(folder):
    start = ActorStart(folder, "run", "actor")
    for _ in range(9):
        start.begin("loading the model")
        start.end()
    assert folder.list_work() == []
