"""Errors of workers, as a user reads them."""

import pytest
from ray.exceptions import RayTaskError

from raygen.errors import InputError, SettingsError, StoppedError
from raygen.pipeline.cluster import in_our_words

TRACE = """ray::Map(read)() (pid=12, ip=10.0.0.1)
  File "raygen/pipeline/shards.py", line 80, in read
    raise InputError(words)
raygen.errors.{kind}: part-0.parquet is damaged."""


@pytest.mark.parametrize("kind", [InputError, SettingsError, StoppedError])
@pytest.mark.parametrize("dressed", [False, True], ids=["as Ray's own", "as Ray's and its cause's"])
def test_a_workers_error_is_its_own_sentence_and_class(kind, dressed):
    error = RayTaskError("read", TRACE.format(kind=kind.__name__), kind("part-0.parquet is damaged."))
    said = in_our_words(error.as_instanceof_cause() if dressed else error, "12 rows are kept.")
    assert (type(said), str(said)) == (kind, "part-0.parquet is damaged. 12 rows are kept.")


def test_an_error_of_the_driver_stays_as_it_is():
    error = StoppedError("too many failures")
    assert in_our_words(error, "so far") is error


def test_what_nobody_expected_is_named():
    trace = "ray::Map(read)()\n  File x\nZeroDivisionError: division by zero"
    said = in_our_words(RayTaskError("read", trace, ZeroDivisionError("division by zero")), "12 rows are kept.")
    assert str(said).startswith(
        "The run stopped on an error that it did not expect: ZeroDivisionError: division by zero."
    )
