"""Turn VCFs into VARIANTS: python jobs/ingest.py VCF... --reference FASTA --out DIR"""

import sys

from raygen.cli import main

sys.argv[1:1] = ["ingest"]
main()
