"""The container: what a linter of Dockerfiles would ask, for the one that is here."""

import re
import tomllib
from pathlib import PurePath

import pytest

from tests.infra.manifests import INFRA, ROOT

TEXT = (INFRA / "docker/Dockerfile").read_text()
LINES = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", TEXT)).splitlines()
STEPS = [tuple(line.split(None, 1)) for line in LINES if line.strip()]


def arguments(word):
    return [rest for step, rest in STEPS if step == word]


def test_the_base_is_pinned_and_has_cuda():
    (base,) = arguments("FROM")
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu\d+\.\d+", base)


def test_it_runs_as_a_user_without_rights_and_by_number():
    assert arguments("USER")[-1] == "1000:1000"  # Kubernetes can check a number, not a name
    assert "useradd --uid 1000" in TEXT


def test_signals_reach_raygen():
    assert arguments("ENTRYPOINT") == ['["tini", "--"]']
    assert all(form.startswith("[") for form in arguments("CMD"))


def test_packages_are_installed_cleanly_and_at_pinned_versions():
    (apt,) = [run for run in arguments("RUN") if "apt-get" in run]
    assert "--no-install-recommends" in apt
    assert "rm -rf /var/lib/apt/lists/*" in apt
    pips = [run for run in arguments("RUN") if "pip install" in run]
    assert pips
    assert all("--constraint constraints.txt" in run and "--no-cache-dir" in run for run in pips)


def test_it_has_what_rays_cluster_launcher_runs_in_a_container():
    """command_runner.py copies into the container with rsync; the head starts workers with ssh and asks EC2 with boto3."""
    (apt,) = [run for run in arguments("RUN") if "apt-get" in run]
    assert {"rsync", "openssh-client"} <= set(apt.split())
    (pip,) = [run for run in arguments("RUN") if "pip install" in run]
    assert "boto3" in pip.split()
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {"boto3", "pyiceberg"} <= pinned


def test_every_extra_that_settings_can_ask_for_is_installed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (installed,) = re.findall(r"'\.\[([\w,]+)\]'", TEXT)
    assert set(installed.split(",")) == set(extras) - {"dev"}


def test_no_weights_no_secrets_and_no_whole_folder_are_copied():
    copied = [word for rest in arguments("COPY") for word in rest.split()[:-1]]
    assert "." not in copied
    assert not arguments("ADD")
    assert not re.search(r"(?i)token|password|secret|safetensors", "\n".join(LINES))


@pytest.mark.parametrize("source", [word for rest in arguments("COPY") for word in rest.split()[:-1]])
def test_what_is_copied_exists_and_is_let_through(source):
    assert (ROOT / source).exists()
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert any(PurePath(source).is_relative_to(kept) for kept in allowed)


def test_nobody_needs_to_be_online():
    assert "HF_HUB_OFFLINE=1" in TEXT
    assert "RAY_USAGE_STATS_ENABLED=0" in TEXT
