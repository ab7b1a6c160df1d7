"""The package's version, in a file of its own so that building a wheel imports nothing else."""

__version__ = "0.2.0.dev0"
