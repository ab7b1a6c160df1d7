"""``python -m raygen.cli``, where the console script is not on the path."""

from raygen.cli.entry import main

main()
