"""Score what is new in a landing folder: python jobs/nightly.py CONFIG [--set key.path=value ...]"""

import sys

from raygen.cli import main

sys.argv[1:1] = ["nightly"]
main()
