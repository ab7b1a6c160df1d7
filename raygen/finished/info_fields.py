"""Columns of SCORES as text: INFO fields of a VCF, columns of a tab-separated file.

In: Arrow columns. Out: text, and the header lines that say what it is. One rule for all: a missing value is ``.``, true and false
are 1 and 0, a list is joined by ``&``, and what the VCF specification reserves is percent-encoded (VCF 4.3, 1.2), blanks too,
which VCF 4.2 forbids in INFO. Every field is ``Number=A``: one value for each ALT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from raygen.classes.background import DELTA_CONTEXT
from raygen.classes.class_rule import is_on_context
from raygen.classes.words import phred_cuts
from raygen.errors import SettingsError
from raygen.finished.run_facts import RunFacts
from raygen.tables.carried_types import carried_as
from raygen.tables.columns import flat_column, joined_lists
from raygen.version import __version__

DEFAULT_FIELDS = ("delta_llr", "classification", "abstained", "flags")
DEFAULT_PREFIX = "raygen_"
MISSING = "missing"
"""Name, after the prefix, of the INFO field that says why an allele has no score."""
_RESERVED = re.compile(r"[%:;=,&\s\x00-\x1f\x7f]")
_TO_ENCODE = re.compile(r"%(?![0-9A-Fa-f]{2})|[:;=,&\s\x00-\x1f\x7f]")
_FIRST_INTEGER, _LAST_INTEGER = -(2**31) + 8, 2**31 - 1  # of a VCF, 4.3 section 1.3
_SMALLEST_FLOAT32, _LARGEST_FLOAT32 = 2.0**-126, 2.0**128 * (1 - 2.0**-24)
_NOT_IN_AN_ID = re.compile(r"[^0-9A-Za-z_.]")
_VALID_ID = re.compile(r"[A-Za-z_][0-9A-Za-z_.]*")

_MEANING = {
    "variant_id": "chrom-pos-ref-alt of the normalised variant",
    "ll_wt": "log-likelihood of the window with the reference allele, nats",
    "ll_mut": "log-likelihood of the window with the alternate allele, nats",
    "delta_llr": "ll(alternate) - ll(reference), nats; negative: the variant makes the sequence less likely",
    "delta_fwd": "delta_llr of the forward strand, nats",
    "delta_rev": "delta_llr of the reverse strand, nats",
    "delta_per_base": "delta_llr a token, nats",
    "num_tokens": "tokens that the log-likelihoods are summed over",
    "window_start": "first base of the window, 0-based",
    "window_end": "end of the window, 0-based, not included",
    "classification": "class of delta_llr, a label of a scale and no clinical statement",
    "abstained": "1 where the evidence disagrees with itself, so that the class should not be used",
    "flags": "remarks on the score, joined by &",
    "model": "model",
    "fingerprint": "hash of weights, precision, window, strand and vocabulary",
    "run_id": "run that made the score",
}
_CALIBRATED = {
    "probability": "probability of being positive at a prior of {prior:g}, of calibration {digest} from {labels}",
    "evidence": "strength of evidence (PP3 or BP4) at a prior of {prior:g}, of calibration {digest} from {labels}",
}
"""What the columns of a calibration mean; in scores without one, columns of these names come from the input."""
_RANKED = {
    "percentile": "share of background {background} whose delta_llr is as low or lower",
    "phred": "-10 log10 of percentile: 20 is the most harmful hundredth of background {background}",
    "percentile_in_group": "share of the scores of background_group in background {background} whose delta_llr is as low or lower",
    "background_group": "group of background {background} that percentile_in_group ranks among",
    "delta_context": "delta_llr less what the sequence context alone makes likely by background {background}, nats",
}
"""What the columns of a background mean; as above."""


@dataclass(frozen=True)
class InfoField:
    """One column of the scores as a field of INFO: its name there, VCF type and meaning."""

    column: str
    id: str
    type: str
    meaning: str

    def header_line(self, facts: RunFacts) -> str:
        """The header line ``##INFO=<...>``, which says which model and fingerprint made the values."""
        description = _quoted(f"{self.meaning} (model {facts.model}, fingerprint {facts.fingerprint})")
        return f'##INFO=<ID={self.id},Number=A,Type={self.type},Description="{description}",Source="raygen",Version="{__version__}">'


def info_fields(schema: pa.Schema, columns: Sequence[str], prefix: str, facts: RunFacts) -> list[InfoField]:
    """The INFO fields for these columns of scores of this schema; ``facts`` say what made the scores.

    Raises:
        SettingsError: the scores lack a column, it has no place in INFO, or a prefix cannot start a name there.
    """
    if not _VALID_ID.fullmatch(f"{prefix}x"):
        raise SettingsError(f"--prefix {prefix!r}: INFO names hold letters, digits, _ and ., and start with no digit.")
    usable = [name for name in schema.names if name not in ("chrom", "pos", "ref", "alt")]
    if unknown := [name for name in columns if name not in usable]:
        raise SettingsError(
            f"--fields: the scores have no column {', '.join(unknown)}. There are: {', '.join(usable)}."
        )
    fields = [_field(schema.field(name), prefix, facts) for name in dict.fromkeys(columns)]
    ids = [field.id for field in fields] + [prefix + MISSING]
    if repeated := sorted({name for name in ids if ids.count(name) > 1}):
        raise SettingsError(f"--fields: two of the columns would both be named {', '.join(repeated)} in INFO.")
    return fields


class DeclaredTypes:
    """The types that a header declares for INFO fields, known when all values were written: a VCF's Integer has 32 bits, and readers
    take what does not fit for missing, so a column with such a value (an RS of dbSNP) is a String.

    Attributes:
        as_text: columns of numbers that are declared String.
    """

    def __init__(self) -> None:
        self.as_text: set[str] = set()

    def note(self, rows: pa.Table, fields: Sequence[InfoField]) -> None:
        """Look at the values of some rows."""
        for field in fields:
            if pa.types.is_integer(rows.schema.field(field.column).type) and field.column not in self.as_text:
                limits = pc.min_max(rows[field.column]).as_py()
                if limits["min"] is not None and (limits["min"] < _FIRST_INTEGER or limits["max"] > _LAST_INTEGER):
                    self.as_text.add(field.column)

    def of(self, fields: Sequence[InfoField]) -> list[InfoField]:
        """The fields with the types to declare."""
        return [replace(field, type="String") if field.column in self.as_text else field for field in fields]


def header_lines(fields: Sequence[InfoField], prefix: str, facts: RunFacts) -> list[str]:
    """Header lines of an exported VCF about the scores: one for the run, one for each field, one for what is missing."""
    run = {
        "Model": facts.model,
        "Window": facts.window,
        "Strand": facts.strand,
        "Cuts": facts.cuts,
        "Background": facts.ranked_against,
    }
    described = ",".join(f'{name}="{_quoted(value)}"' for name, value in run.items() if value)
    return [
        f'##raygen=<ID={prefix}{facts.fingerprint},Fingerprint="{facts.fingerprint}",{described},Version="{__version__}">',
        *(field.header_line(facts) for field in fields),
        f'##INFO=<ID={prefix}{MISSING},Number=A,Type=String,Description="Why raygen has no score for the allele; '
        f'. where it has one",Source="raygen",Version="{__version__}">',
    ]


def as_text(column: pa.ChunkedArray, *, single: bool) -> pa.Array:
    """A column of R values as (R,) strings for INFO, without nulls.

    ``single``: floats are the shortest text of a float32, which is what htslib holds; those that it would make infinite or 0,
    or hold with fewer digits, keep their own.
    """
    arrow_type = carried_as(column.type)
    values = (column if arrow_type in (None, column.type) else column.cast(arrow_type)).combine_chunks()
    values = values.chunk(0) if isinstance(values, pa.ChunkedArray) and values.num_chunks else values
    if isinstance(values, pa.ChunkedArray):
        return pa.array([], pa.string())
    kind = values.type
    if pa.types.is_boolean(kind):
        texts = values.cast(pa.int8()).cast(pa.string())
    elif pa.types.is_floating(kind):
        texts = _single(values) if single else values.cast(pa.string())
    elif pa.types.is_integer(kind):
        texts = values.cast(pa.string())
    elif pa.types.is_list(kind):
        texts = joined_lists(values, as_text(pa.chunked_array([pc.list_flatten(values)]), single=False))
    else:
        texts = _encoded(flat_column(values).cast(pa.string()))
    return pc.if_else(pc.fill_null(pc.equal(texts, ""), True), ".", texts)


def _single(values: pa.Array) -> pa.Array:
    """Floats as the shortest text of a float32, or of themselves where a float32 does not hold them to its full precision."""
    size = pc.abs(values.cast(pa.float64()))
    is_outside = pc.or_(pc.less(size, _SMALLEST_FLOAT32), pc.greater(size, _LARGEST_FLOAT32))
    keeps = pc.and_(is_outside, pc.and_(pc.is_finite(size), pc.not_equal(size, 0.0)))
    return pc.if_else(keeps, values.cast(pa.string()), values.cast(pa.float32()).cast(pa.string()))


def encode(text: str) -> str:
    """Text with the characters that INFO reserves percent-encoded; what a VCF brought is encoded already and stays."""
    return _TO_ENCODE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def _encoded(texts: pa.Array) -> pa.Array:
    """(R,) strings percent-encoded for INFO. Only values that need it are touched; among classes and names there are none."""
    if not pc.any(pc.match_substring_regex(texts, _RESERVED.pattern)).as_py():
        return texts
    return pa.array([None if text is None else encode(text) for text in texts.to_pylist()], pa.string())


def _field(field: pa.Field, prefix: str, facts: RunFacts) -> InfoField:
    if pa.types.is_boolean(field.type) or pa.types.is_integer(field.type):
        kind = "Integer"
    else:
        kind = "Float" if pa.types.is_floating(field.type) else "String"
    return InfoField(field.name, prefix + _NOT_IN_AN_ID.sub("_", field.name), kind, _meaning(field.name, facts))


def _meaning(column: str, facts: RunFacts) -> str:
    calibration = facts.calibration
    if calibration and column in _CALIBRATED:
        labels = f"{calibration['labels']['label']} of {calibration['labels']['source']}"
        return _CALIBRATED[column].format(prior=calibration["prior"], digest=calibration["digest"], labels=labels)
    if facts.background and column in _RANKED:
        return _RANKED[column].format(background=facts.ranked_against)
    if column == "classification" and (phred_cuts(facts.cuts) or is_on_context(facts.cuts)):
        return _MEANING[column].replace("delta_llr", "phred" if phred_cuts(facts.cuts) else DELTA_CONTEXT)
    return _MEANING.get(column, f"{column}, as the input had it")


def _quoted(text: str) -> str:
    """Text as the quoted value of a header line: backslash and quote are escaped, and a line stays a line."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
