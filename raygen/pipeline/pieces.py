"""What is known of a shard that is not committed yet: pieces that are scored, and tries that ended with their process.

A shard is scored from its first row to its last in pieces of ``scoring.keep_every`` seconds. A finished piece is kept beside the
output, so that a run that stops loses about as much of an actor's work and not a whole shard of it, and progress can be
seen within a shard. A try is written down before it begins and struck out when it ends, well or with an exception; one
that is left behind took its process with it. Such rows are tried again in smaller pieces until the one row that kills is
alone. All of it is found by listing:

    OUT/.work/<shard>-<hash>/rows.<start>.<stop>.<tokens>.arrow       scored rows [start, stop) of those to score
    OUT/.work/<shard>-<hash>/try.<start>.<stop>.<run id>.<unique>     a try; holds the reason where the process gave one
    OUT/.work/starts.<run id>/<actor id>.<unique>                     an actor that is loading its model
    OUT/.work/starts.<run id>/memory.<node id>.<count>                (see ``memory_kills``)

The hash is over the identity of the scores and the ids of the rows to score: other rows or another model never meet here.

Only tries of the same run accuse. A driver that is killed takes its actors with it, and the rows they had in hand are as
good as any others.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raygen.errors import StoppedError
from raygen.tables.identity import Identity
from raygen.tables.layout import RunFolder

FIRST_PIECE = 64
"""Rows of an actor's first piece, before it knows how fast it is."""

_PARTS = 8  # rows that killed are tried again in this many parts: 4,096 rows are four steps from one row, 16,384 five
_DEATHS_TO_ACCUSE = 2  # one may be a reclaimed machine or somebody's kill
_MOST_DEATHS = 64
_MOST_STARTS = 3

Rows = tuple[int, int]
"""[start, stop) of the rows to score of a shard."""


@dataclass(frozen=True)
class Piece:
    """The next rows to score. ``convicted``: the row is alone and has killed often enough."""

    start: int
    stop: int
    convicted: bool = False


def next_piece(start: int, num_rows: int, usual: int, deaths: Mapping[Rows, int]) -> Piece:
    """Where to go on at row ``start``; pure.

    Args:
        usual: rows of a piece where nothing died.
        deaths: processes lost by the rows that were in hand.
    """
    around = [rows for rows in deaths if rows[0] <= start < rows[1] <= num_rows]
    if not around:
        return Piece(start, min(start + usual, num_rows))
    smallest = min(around, key=lambda rows: rows[1] - rows[0])
    size = smallest[1] - smallest[0]
    part = Piece(start, min(start + -(-size // _PARTS), smallest[1]))
    if smallest[0] != start:
        return part
    enough = _DEATHS_TO_ACCUSE if size == 1 or len(around) == 1 else 1
    if deaths[smallest] < enough:
        return Piece(*smallest)
    return Piece(*smallest, convicted=True) if size == 1 else part


class ShardPieces:
    """The pieces of one shard of a run."""

    def __init__(self, folder: RunFolder, run_id: str, shard: str, identity: Identity, ids: pa.ChunkedArray) -> None:
        self._folder, self._run_id = folder, run_id
        self._place = _place(shard, identity, ids)
        self._num_rows = len(ids)
        names = folder.list_work(self._place)
        self._stored = {_rows(name): name for name in names if name.startswith("rows.")}
        self._tries = [name for name in names if name.startswith("try.") and name.split(".")[3] == run_id]
        if len(self._tries) >= _MOST_DEATHS:
            raise StoppedError(
                f"Shard {shard} took {len(self._tries)} processes with it, more than a few bad rows explain. "
                "`raygen doctor --model` tries the model on one pair."
            )

    def scored_before(self) -> tuple[list[pa.Table], int]:
        """The pieces from the first row on that an earlier try kept, and the tokens they cost."""
        tables: list[pa.Table] = []
        start = tokens = 0
        while starting := [rows for rows in self._stored if rows[0] == start]:
            rows = max(starting)
            tables.append(_from_bytes(self._folder.read_work(f"{self._place}/{self._stored[rows]}")))
            tokens += int(self._stored[rows].split(".")[3])
            start = rows[1]
        return tables, tokens

    def next(self, start: int, usual: int) -> Piece:
        """The next piece to score, from row ``start`` of the shard on; of ``usual`` rows where no process died."""
        return next_piece(start, self._num_rows, usual, Counter(map(_rows, self._tries)))

    def reason(self, piece: Piece) -> str:
        """Why a convicted row cannot be scored."""
        tries = [name for name in self._tries if _rows(name) == (piece.start, piece.stop)]
        reasons = [self._folder.read_work(f"{self._place}/{name}").to_pybytes().decode() for name in tries]
        last = next((words for words in reversed(reasons) if words), "a crash, or killed for want of memory")
        return f"its process died {len(tries)} times on this row alone: {last}"

    def begin(self, piece: Piece) -> str:
        """Write down a try and return its name."""
        name = f"{self._place}/try.{piece.start}.{piece.stop}.{self._run_id}.{uuid.uuid4().hex[:12]}"
        self._folder.write_work(name, b"")
        return name

    def give_up(self, attempt: str, reason: str) -> None:
        """Write into a try why its process is about to end."""
        self._folder.write_work(attempt, reason.encode())

    def end(self, attempt: str) -> None:
        """Strike out a try that ended with its process alive."""
        self._folder.drop_work(attempt)

    def keep(self, piece: Piece, scored: pa.Table, tokens: int) -> None:
        """Keep a scored piece, and how many tokens it cost, until its shard is committed."""
        self._folder.write_work(
            f"{self._place}/rows.{piece.start}.{piece.stop}.{tokens}.arrow", _to_bytes(scored.combine_chunks())
        )


def ids_of(rows: pa.Table) -> pa.ChunkedArray:
    """What names the rows of a shard: variants and pairs by their ids, bases by their positions."""
    return rows["variant_id"] if "variant_id" in rows.column_names else rows["pos"]


def forget(folder: RunFolder, shard: str, identity: Identity, ids: pa.ChunkedArray) -> None:
    """Delete the pieces and tries of a shard that is committed."""
    folder.drop_work(_place(shard, identity, ids))


def forget_all(folder: RunFolder, shards: set[str]) -> None:
    """Delete what is kept of these committed shards; what an unfinished run over another input keeps stays."""
    places = {name.partition("/")[0] for name in folder.list_work()}
    committed = {place for place in places if place.startswith("starts.") or place.rpartition("-")[0] in shards}
    for place in committed if places - committed else {""}:
        folder.drop_work(place)


@dataclass(frozen=True)
class Kept:
    """Rows that are scored and not yet committed, and the tokens they cost."""

    rows: int = 0
    tokens: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.rows + other.rows, self.tokens + other.tokens)


def kept_in_pieces(folder: RunFolder) -> dict[str, Kept]:
    """Rows and tokens that are kept in pieces, by shard, of the shards that are not committed."""
    kept_of_shard: dict[str, Kept] = {}
    for name in folder.list_work():
        place, _, piece = name.partition("/")
        if piece.startswith("rows."):
            start, stop = _rows(piece)
            shard = place.rpartition("-")[0]
            kept_of_shard[shard] = kept_of_shard.get(shard, Kept()) + Kept(stop - start, int(piece.split(".")[3]))
    return kept_of_shard


class ActorStart:
    """Counts how often one actor died while it started: a crash there would be tried again for ever."""

    def __init__(self, folder: RunFolder, run_id: str, actor: str) -> None:
        self._folder = folder
        self._place = f"starts.{run_id}"
        self._actor = actor

    def begin(self, activity: str) -> None:
        """Write down a start; ``activity`` says what the actor does then, in words.

        Raises:
            StoppedError: it was tried often enough.
        """
        deaths = [name for name in self._folder.list_work(self._place) if name.startswith(f"{self._actor}.")]
        if len(deaths) >= _MOST_STARTS:
            self.end()
            raise StoppedError(
                f"An actor's process died {len(deaths)} times while {activity}, without an error that could be caught: a "
                "crash in compiled code or a driver, or killed for want of memory."
            )
        self._folder.write_work(f"{self._place}/{self._actor}.{uuid.uuid4().hex[:12]}", activity.encode())

    def end(self) -> None:
        """Strike out the starts of an actor that is ready, or that raised an error."""
        for name in self._folder.list_work(self._place):
            if name.startswith(f"{self._actor}."):
                self._folder.drop_work(f"{self._place}/{name}")


def _rows(name: str) -> Rows:
    _, start, stop, *_rest = name.split(".")
    return int(start), int(stop)


def _place(shard: str, identity: Identity, ids: pa.ChunkedArray) -> str:
    digest = hashlib.sha256(repr(identity).encode())
    if pa.types.is_string(ids.type):
        digest.update("".join(f"\t{name}" for name in ids.to_pylist()).encode())
    else:
        digest.update(ids.to_numpy().tobytes())
    return f"{shard}-{digest.hexdigest()[:12]}"


def _to_bytes(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _from_bytes(content: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
