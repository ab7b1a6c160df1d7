"""README and guide say what is so: their examples are run and print what is shown, links lead somewhere, settings exist.

An example is a block marked ``console``: lines after ``$`` are run as by a shell, one after the other in one folder; what is printed
must be what follows, where ``...`` stands for any text. Numbers may differ by what rounding on another machine can do (a variant
beside a cut point changes a count by one), run ids always.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from itertools import zip_longest
from pathlib import Path

import pytest
import ray

from raygen.cli import main
from raygen.settings import Settings

ROOT = Path(__file__).parent.parent
README, GUIDE = ROOT / "README.md", ROOT / "raygen" / "guide"
PAGES = [README, ROOT / "infra" / "README.md", *sorted(GUIDE.glob("*.md"))]
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6,8}")
NUMBER = re.compile(r"([(≤≥]*)([-+]?\d[\d,]*(?:\.\d+)?)(%?[),;:.]*)")
SHELL = re.compile(r"[|&;<>$`]")
BY_THE_SHELL = ("raygen demo ", "raygen query ")
"""Commands that are run as a reader runs them: one that computes and one that reads."""
Example = tuple[str, list[str]]


def examples(page: Path) -> list[Example]:
    """Commands with the lines that they are said to print."""
    found: list[Example] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.replace("\\\n", " ").partition("\n")
            found.append((command, printed.splitlines()))
    return found


def run(command: str, folder: Path) -> list[str]:
    """What a command prints in the folder, by a shell, or, for most commands of raygen, by the command line in this process."""
    own = {"COLUMNS": "200", "RAYGEN_CACHE": str(folder / ".cache")}
    in_this_process = (
        command.startswith("raygen ") and not command.startswith(BY_THE_SHELL) and not SHELL.search(command)
    )
    code, out, err = (run_here if in_this_process else run_by_shell)(command, folder, own)
    assert code == 0, f"{command}: {err}"
    return out.replace(f"{folder}/", "").splitlines()


def run_by_shell(command: str, folder: Path, own: dict[str, str]) -> tuple[int, str, str]:
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    address = ray.get_runtime_context().gcs_address  # the tests' own Ray, which need not be started for each
    surroundings = os.environ | own | {"PATH": paths, "RAY_ADDRESS": address}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=surroundings, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def run_here(command: str, folder: Path, own: dict[str, str]) -> tuple[int, str, str]:
    """A fresh process would spend most of its time on imports."""
    out, err = io.StringIO(), io.StringIO()
    with as_started(shlex.split(command), own), chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


@contextmanager
def as_started(arguments: list[str], own: dict[str, str]) -> Iterator[None]:
    """With this command line and these variables of the environment; handlers of signals are as before once it ends."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        for name, value in own.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def same_line(shown: str, printed: str) -> bool:
    """Equal but for spaces, run ids and the rounding of numbers; ``...`` at the end of a line stands for its rest."""
    if shown.endswith("..."):
        shown = shown[: -len("...")]
        printed = printed[: len(shown)]
    pairs = zip_longest(RUN_ID.sub("RUN_ID", shown).split(), RUN_ID.sub("RUN_ID", printed).split(), fillvalue="")
    return all(same_word(*pair) for pair in pairs)


def same_word(shown: str, printed: str) -> bool:
    if shown == printed:
        return True
    one, other = NUMBER.fullmatch(shown), NUMBER.fullmatch(printed)
    if not (one and other) or (one[1], one[3]) != (other[1], other[3]):
        return False
    number = float(one[2].replace(",", ""))
    rounding = 0.5 if "%" in shown else 0.011 if "." in shown else 1
    return abs(number - float(other[2].replace(",", ""))) <= max(rounding, 0.002 * abs(number))


def not_printed(shown: list[str], printed: list[str]) -> str | None:
    """The first line that is shown and does not come, in order, in what is printed."""
    at, anywhere = 0, False
    for line in shown:
        if line == "...":
            anywhere = True
            continue
        places = range(at, len(printed) if anywhere else min(at + 1, len(printed)))
        place = next((place for place in places if same_line(line, printed[place])), None)
        if place is None:
            return line
        at, anywhere = place + 1, False
    return None if anywhere or at == len(printed) else f"(the end, and not {printed[at]!r})"


def assert_true(page: Path, folder: Path) -> None:
    shown = examples(page)
    assert shown, f"{page} has no example"
    for command, lines in shown:
        printed = run(command, folder)
        missing = not_printed(lines, printed)
        assert missing is None, f"{page.name}: `{command}` does not print {missing}\nbut:\n" + "\n".join(printed)


@pytest.fixture(scope="module")
def after_readme(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Path:
    """The folder of one who pasted the README's examples, which are checked on the way."""
    folder = tmp_path_factory.mktemp("reader")
    assert_true(README, folder)
    return folder


@pytest.mark.ray
def test_the_examples_of_the_readme_are_true(after_readme):
    assert (after_readme / "demo-out/scores").is_dir()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("page", ["inputs", "scores", "running"])
def test_the_examples_of_the_guide_are_true(page, after_readme):
    assert_true(GUIDE / f"{page}.md", after_readme)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page):
    rooms = {name: field.annotation.model_fields for name, field in Settings.model_fields.items()}
    named = re.findall(rf"(?<![\w./])({'|'.join(rooms)})\.([a-z_]+)(?![\w./(])", page.read_text())
    files = {"md", "py", "yaml", "json", "fa", "vcf", "html"}
    assert [f"{room}.{key}" for room, key in named if key not in rooms[room] and key not in files] == []


def test_what_is_shown_must_be_printed():
    """By hand: order, gaps, rounding, run ids, and an end."""
    printed = ["a 1.234", "b", "run 20261125T184941Z-8f41d6", "c"]
    assert not_printed(["a 1.230", "...", "run 20200101T000000Z-000000", "c"], printed) is None
    assert not_printed(["a 1.300", "..."], printed) == "a 1.300"
    assert not_printed(["87 of 299 (29.1%)"], ["88 of 299 (29.4%)"]) is None
    assert not_printed(["87 of 299 (29.1%)"], ["89 of 299 (29.8%)"]) == "87 of 299 (29.1%)"
    assert not_printed(["b", "..."], printed) == "b"
    assert not_printed(["...", "c", "b"], printed) == "b"
    assert not_printed(["a 1.234", "b"], printed) is not None
    assert not_printed(["...", "run 20..."], printed) is not None
