"""The only room that imports ray. What Ray reads from the environment when it is imported is said here, before that."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a thread that is left behind must not start another Ray
# Ray prints on standard output that it tries again what an actor that died had in hand, which it is asked to do.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(so the task )?will be retried")
