import os
import subprocess
import sys
from pathlib import Path

import pytest

from raygen.errors import SettingsError
from raygen.home import ensure_home, expanded, expanded_argument
from raygen.settings import load_settings

NO_ENTRY = """
import pwd, sys
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody
"""


def without_home(folder: Path, code: str, **environment: str) -> str:
    """What Python prints in ``folder`` where HOME is unset and the user's number has no name, as in a container."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME", "RAYGEN_CACHE")
    }
    root = str(Path(__file__).parents[1])
    kept |= {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": root, **environment}
    (folder / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-c", NO_ENTRY + code]
    done = subprocess.run(command, cwd=folder, env=kept, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_charts_and_cache_work_without_a_home(tmp_path):
    (tmp_path / "here").mkdir()
    code = """
from raygen.cache import cache_folder
from raygen.pages import report_charts  # what it imports asks for a home at once
print(cache_folder("speeds"))
"""
    place = without_home(tmp_path / "here", code)
    assert place == f"{tmp_path}/here/tmp/raygen-{os.getuid()}/.cache/raygen/speeds"
    assert [entry.name for entry in (tmp_path / "here").iterdir()] == ["tmp"]


def test_home_is_set_only_where_there_is_none(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    ensure_home()
    assert os.environ["HOME"] == "/somewhere"
    monkeypatch.delenv("HOME")
    ensure_home()
    assert "HOME" not in os.environ  # the user of the tests has an entry
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    ensure_home()
    assert os.environ["HOME"].endswith(f"raygen-{os.getuid()}")
    with pytest.raises(SettingsError, match="~/out: there is no home folder here, since HOME is not set"):
        expanded("~/out")  # results do not belong among temporary files


def test_the_tilde_is_the_home_folder_and_never_a_folder_s_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    assert [expanded(path) for path in ("~", "~/a", "a/~", "~a.vcf", "s3://b/~", "/a")] == [
        *("/home/x", "/home/x/a", "a/~", "~a.vcf", "s3://b/~", "/a")
    ]
    with pytest.raises(SettingsError, match="~nobody-of-this-name/a: there is no user nobody-of-this-name"):
        expanded("~nobody-of-this-name/a")
    arguments = ["--out=~/a", "~/b", "--set", "output.path=~/c", "--name=a~", "-v"]
    assert [expanded_argument(argument) for argument in arguments] == [
        *("--out=/home/x/a", "/home/x/b", "--set", "output.path=~/c", "--name=a~", "-v")
    ]


def test_every_path_of_the_settings_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    config = tmp_path / "run.yaml"
    config.write_text(
        "input: {variants: [~/v.vcf, s3://b/v.vcf], reference: ~/r.fa}\nmodel: {name: ~/m}\nclasses: {calibration: ~/c.json}\n"
    )
    settings = load_settings(str(config), ["output.path=~/o"])
    assert settings.input.variants == ["/home/x/v.vcf", "s3://b/v.vcf"]
    assert (settings.input.reference, settings.model.name) == ("/home/x/r.fa", "/home/x/m")
    assert (settings.classes.calibration, settings.output.path) == ("/home/x/c.json", "/home/x/o")
    config.write_text("input: {pairs: ~/p.parquet}\nlanding: {folder: ~/l}\noutput: {path: ~nobody-of-this-name/o}\n")
    with pytest.raises(SettingsError, match=r"output\.path: .*there is no user nobody-of-this-name on this machine"):
        load_settings(str(config), complete=False)
    config.write_text("input: {pairs: ~/p.parquet}\nlanding: {folder: ~/l}\n")
    settings = load_settings(str(config), complete=False)
    assert (settings.input.pairs, settings.landing.folder) == (["/home/x/p.parquet"], "/home/x/l")
