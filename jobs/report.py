"""Write the report of a run: python jobs/report.py CONFIG (or OUT) [options of raygen report]"""

from raygen.cli.job import run_job

run_job("report", on_output=[])
