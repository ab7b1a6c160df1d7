"""What is installed: ranges whose lower ends were tried, versions of Python that are named alike everywhere."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from raygen.pipeline.cluster import TRIED_RAY, untried_ray
from raygen.tables.manifest import versions
from raygen.version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def constraints(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {line.partition("==")[0].lower().replace("_", "-"): line.partition("==")[2] for line in lines}


@pytest.mark.parametrize("text", PROJECT["dependencies"])
def test_a_range_begins_where_it_was_tried_and_holds_what_ci_uses(text):
    requirement = Requirement(text)
    name = requirement.name.lower().replace("_", "-")
    oldest, today = constraints("constraints-oldest.txt")[name], constraints("constraints.txt")[name]
    (lower,) = (part.version for part in requirement.specifier if part.operator == ">=")
    assert (oldest + ".").startswith(lower + ".") and requirement.specifier.contains(today)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("choice", "folder"), [([], ".venv"), (["CONSTRAINTS=constraints-oldest.txt"], ".venv-oldest")]
)
def test_the_oldest_versions_are_tested_in_an_environment_of_their_own(choice, folder):
    command = ["make", "--dry-run", "--directory", str(ROOT), *choice, "test"]
    of_make_test = ("MAKEFLAGS", "MAKEOVERRIDES", "CONSTRAINTS")  # which may have been given the other one
    env = {name: value for name, value in os.environ.items() if name not in of_make_test}
    planned = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    assert f"\n{folder}/bin/python -m pytest" in f"\n{planned}"


def test_versions_of_python_are_the_same_in_metadata_makefile_and_readme():
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert named == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11,<3.15"
    for document in ("Makefile", "README.md"):
        assert "Python 3.11 to 3.14" in (ROOT / document).read_text()


def test_another_minor_version_of_ray_is_named():
    assert [untried_ray(f"{minor}.1") for minor in TRIED_RAY] == [None] * len(TRIED_RAY)
    assert untried_ray("2.58.1").startswith("Ray 2.58.1 is installed; raygen was tried with 2.59 and 2.60")


def test_the_version_is_that_of_the_changelog_the_manifests_and_the_images():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == __version__.partition(".dev")[0]
    assert versions()["raygen"] == __version__
    files = [path for path in (ROOT / "infra").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    texts = [path.read_text() for path in files]
    assert {tag for text in texts for tag in re.findall(r"REGISTRY/raygen:([\w.]*\w)", text)} == {__version__}
