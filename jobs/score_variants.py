"""Score what a settings file names: python jobs/score_variants.py CONFIG [--set key.path=value ...]"""

from raygen.cli.job import run_job

run_job("score")
