"""The rooms of the package: imports go up the list, and what must stay light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from raygen.model.random_checkpoint import write_random_checkpoint
from tests.model.models import small_evo2_config

PACKAGE = Path(__file__).parents[1] / "raygen"
ROOMS = [
    *("errors", "home", "disk_errors", "version", "number_of", "cache", "remote"),
    *("tables", "sequence", "model"),
    *("variants", "scoring", "classes", "setting_faults", "settings"),
    *("finished", "evaluation", "pipeline", "api"),
    *("planning", "trials", "demo", "doctor"),
    "pages",
    "nights",
    "cli",
]
HEAVY = {"transformers", "accelerate", "scipy", "torch._dynamo", "torch.distributed.tensor"}
"""What takes seconds to import, and what Evo 1, Evo 2 and the demo do without."""
FREE = {"__init__"}  # the package's own face: it fetches lazily and names only public things


def imported_modules(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands; those for type checkers only are left out."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room_of(path) not in FREE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_up_the_list_of_rooms(path):
    own = ROOMS.index(room_of(path))
    used = {name.split(".")[1] for name in imported_modules(path) if name.startswith("raygen.")}
    below = {name for name in used if ROOMS.index(name) > own}
    assert not below, f"{room_of(path)} imports {below}, which lie below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_pipeline_imports_ray(path):
    if room_of(path) != "pipeline":
        assert not {name for name in imported_modules(path) if name.split(".")[0] == "ray"}


IMPORTS = {
    "light": [
        ("import raygen", {"torch", "ray", "transformers", "polars", "pyarrow"}),
        ("raygen.open_table", {"torch", "ray", "transformers", "polars", "pysam", "scipy"}),
        ("raygen.read_embeddings", {"torch", "ray", "transformers", "pysam", "scipy"}),
        ("import raygen.model.facts", {"torch", "ray", "transformers"}),
        ("import raygen.cli", {"torch", "ray", "transformers"}),
        ("import raygen.scoring.passes", {"torch", "ray"}),
        ("import raygen.variants.ingest", {"torch", "ray"}),
        ("import raygen.pipeline.run, raygen.pages.report", {"torch", "ray", "transformers"}),
    ],
    "a task on Ray": [("import raygen.pipeline.stages", {"torch", "transformers", "polars"})],
    "a model": [
        ("import raygen.model.loading", {"ray", "pysam", "polars", "raygen.model.causal_lm", *HEAVY}),
        ("import raygen.scoring.scorer", {"ray", *HEAVY}),
        (
            f"import runpy; runpy.run_path({str(PACKAGE.parent / 'jobs/benchmarks/bench_model.py')!r})",
            {"ray", "polars"},
        ),
        ("import raygen.api", {"ray"}),
    ],
}
"""By process: what is run in it, one after the other, and what is not imported by then. What one loads too much the later ones find."""


@pytest.mark.parametrize("process", IMPORTS)
def test_an_import_loads_no_more_than_it_needs(process):
    steps = [
        f"{statement}; print({statement!r}, *({absent!r} & set(sys.modules)), sep='|')"
        for statement, absent in IMPORTS[process]
    ]
    code = "\n".join(["import sys", *steps])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [statement for statement, _ in IMPORTS[process]]


@pytest.mark.parametrize(("family", "dtype"), [("demo", "float32"), ("evo2", "bfloat16")])
def test_models_that_are_written_out_here_score_without_what_is_heavy(family, dtype, tmp_path):
    """An actor does no more: it loads a model, and scores by a state that goes on."""
    name = "demo" if family == "demo" else str(tmp_path / "evo2")
    if family == "evo2":
        write_random_checkpoint(tmp_path / "evo2", small_evo2_config(), seed=0)
    code = (
        "import sys, raygen\n"
        f"model = raygen.load_model({name!r}, device='cpu', dtype={dtype!r})\n"
        "table = raygen.score_pairs(model, [('ACGTACGT' * 50, 'ACGTACGT' * 49 + 'ACGAACGT')], method='fork')\n"
        f"print(table.num_rows, *({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["1"]


def test_scoring_runs_where_ray_is_not_installed():
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "import raygen\n"
        "table = raygen.score_pairs(raygen.load_model('demo'), [('ACGTACGT', 'ACGAACGT')])\n"
        "print(table.num_rows)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


def test_the_public_names_are_these():
    import raygen

    assert raygen.__all__ == [
        "InputError",
        "RaygenError",
        "SettingsError",
        "StoppedError",
        "Window",
        "__version__",
        "load_model",
        "open_table",
        "read_embeddings",
        "read_scores",
        "score_pairs",
        "score_variants",
    ]
    assert all(getattr(raygen, name) is not None for name in raygen.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        raygen.nothing  # noqa: B018
