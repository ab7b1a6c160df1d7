"""Ingest a run's input ahead of it: python jobs/ingest.py CONFIG [--out DIR], or VCF... --reference FASTA --out DIR"""

from raygen.cli.job import run_job

run_job("ingest")
