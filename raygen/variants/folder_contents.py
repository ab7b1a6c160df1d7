"""What of a folder's files is an input, and what is not: nothing is passed over in silence.

In: the names of all files below a folder, and a way to see the first bytes of one. Out: the names to read; names that are passed
over; folders in it that raygen wrote, which are outputs and never inputs.

Hidden files (``.name``, ``_name``) are passed over, as Spark and pyarrow do, and so are indexes; they are named only where their
names end as those of variants.

A folder of raygen's is known by the files that are there from its first moment on: the lock and the manifests of a run, what it
has under way, ``ingest.json``, ``current.json`` beside tables of nights. Names that others use, too (``runs/NAME/manifest.json``,
``.work``), are signs only with the ids in them that raygen gives. Where the folder itself is one, its scores, rejects and runs are
left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from raygen.number_of import number_of
from raygen.variants.file_kinds import HEAD_BYTES, ends_as_unfinished, ends_as_variants, kind_of_head
from raygen.variants.ingested_folder import INFO_FILE, VARIANTS_FOLDER

_POINTER = "current.json"
_NO_WORD = (".tbi", ".csi", INFO_FILE, _POINTER)
_RUN_ID = r"\d{8}T\d{6}Z-[0-9a-f]+"
_OF_A_RUN = re.compile(
    r"(?:^|/)(?:"
    r"\.raygen\.lock$|"
    r"\.ingest/[0-9a-f]{16}/|"
    rf"\.work/starts\.{_RUN_ID}/|"
    r"\.work/[^/]+-[0-9a-f]{12}/(?:rows|try)\.|"
    rf"runs/{_RUN_ID}/manifest\.json$)"
)
"""What only a run writes into its folder, in a file's relative name: see ``tables/layout.py`` and ``pipeline/pieces.py``."""
_TABLES = ("scores", "embeddings", "rejects", "runs", "generations", "nights")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_MOST_NAMED = 5


@dataclass(frozen=True)
class FolderContents:
    """Names below a folder, with ``/`` between their parts, sorted.

    Attributes:
        inputs: files to read.
        passed_over: files that are none, folders that cannot be read, and links to folders, which are not followed.
        outputs: folders that raygen wrote; nothing in them is read.
    """

    inputs: list[str]
    passed_over: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def remarks(self, folder: str | Path, kinds: str = "file of variants") -> list[str]:
        """Sentences on what is not read by who reads files of these ``kinds``."""
        remarks = []
        if self.passed_over:
            number = number_of(len(self.passed_over), "entry is", "entries are")
            remarks.append(f"{folder}: {number} not read, being no {kinds}: {_shown(self.passed_over)}.")
        if self.outputs:
            names = _shown([f"{name}/" for name in self.outputs])
            remarks.append(f"{folder}: not read, because raygen wrote it: {names}.")
        return remarks


def look_into(folder: Path) -> FolderContents:
    """The contents of a folder of this machine."""
    not_entered: dict[str, str] = {}
    names = list(_names_below(folder, not_entered))

    def head(name: str) -> bytes:
        try:
            with (folder / name).open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""

    contents = sort_out(names, head)
    others = [
        f"{name}/ ({why})"
        for name, why in not_entered.items()
        if not _is_hidden(name) and not _is_below(name, contents.outputs)
    ]
    return replace(contents, passed_over=sorted([*contents.passed_over, *others]))


def sort_out(names: Iterable[str], head: Callable[[str], bytes]) -> FolderContents:
    """Tell inputs from all else.

    Args:
        names: of all files, relative to the folder.
        head: gives the first bytes of one; asked only where its name does not tell.
    """
    names = sorted(names, key=lambda name: name.split("/"))
    outputs = sorted(_outputs(names))
    inputs, passed_over = [], []
    for name in names:
        if _is_below(name, outputs):
            continue
        if _is_hidden(name) or ends_as_unfinished(name):
            is_input, is_named = False, not _is_hidden(name) or ends_as_variants(name)
        else:
            is_input = ends_as_variants(name) or kind_of_head(head(name), name) is not None
            is_named = not name.lower().endswith(_NO_WORD)
        if is_input:
            inputs.append(name)
        elif is_named:
            passed_over.append(name)
    return FolderContents(inputs, passed_over, outputs)


def partitions_of(name: str) -> dict[str, str | None]:
    """What the folders ``KEY=VALUE`` in a file's relative name say, as Hive writes them: text, null for its default partition."""
    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {unquote(key): None if value == _NULL_PARTITION else unquote(value) for key, _, value in pairs}


def _names_below(folder: Path, not_entered: dict[str, str]) -> Iterator[str]:
    """Names of the files below a folder; the folders in it that are not gone through go into ``not_entered``, with the reason."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # taken away while we looked
            not_entered[Path(error.filename).relative_to(folder).as_posix()] = str(error.strerror)

    for place, folders, files in os.walk(folder, onerror=note):
        relative = Path(place).relative_to(folder)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        not_entered |= {(relative / name).as_posix(): "a link" for name in links}
        yield from ((relative / name).as_posix() for name in files if (Path(place) / name).is_file())


def _outputs(names: Iterable[str]) -> set[str]:
    """The folders that raygen wrote, none in another of them; of the folder that all names are below, its tables."""
    parts_of = [tuple(name.split("/")) for name in names]
    places = {place for parts in parts_of for place in _written_places(parts)}
    present = set(parts_of)
    infos = [parts[:-1] for parts in parts_of if parts[-1] == INFO_FILE]
    places |= {place for place in infos if (*place, VARIANTS_FOLDER, "part-00000.parquet") in present}
    pointers = [parts[:-1] for parts in parts_of if parts[-1] == _POINTER]
    places |= {place for place in pointers if any(inner[:-1] == place for inner in places if inner)}
    if () in places:
        places = places - {()} | {parts[:1] for parts in parts_of if parts[0] in _TABLES}
    return {"/".join(place) for place in places if not any(place[:depth] in places for depth in range(1, len(place)))}


def _written_places(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The folders above a file that it shows to be those of runs."""
    name = "/".join(parts)
    yield from (tuple(name[: match.start()].split("/")) if match.start() else () for match in _OF_A_RUN.finditer(name))


def _is_below(name: str, folders: Iterable[str]) -> bool:
    return any(name.startswith(f"{folder}/") for folder in folders)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
