"""Fit thresholds on labelled variants: python jobs/calibrate.py CONFIG [--labels FILE] [--out FILE] [options of raygen calibrate]"""

from raygen.cli.job import run_job

run_job("calibrate", on_output=["--scores"])
