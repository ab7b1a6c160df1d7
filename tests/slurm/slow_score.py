"""``jobs/score_variants.py`` with a scorer that takes its time, for jobs that are disturbed half-way (RAYGEN_JOB)."""

from functools import partial

from raygen.cli.job import run_job
from raygen.pipeline import run as run_module
from tests.pipeline.faults import faulty_scorer

SECONDS_A_ROW = 0.75

if __name__ == "__main__":
    slow = partial(faulty_scorer, seconds_a_row=SECONDS_A_ROW)
    run_module.run_score = partial(run_module.run_score, make_scorer=slow)
    run_job("score")
