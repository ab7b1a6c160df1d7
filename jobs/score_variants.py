"""Score what a settings file names: python jobs/score_variants.py CONFIG [--set key.path=value ...]"""

import sys

from raygen.cli import main

sys.argv[1:1] = ["score"]
main()
