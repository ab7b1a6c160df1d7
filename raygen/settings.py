"""Every setting of a run, by the names that YAML files, ``--set`` and errors use.

One frozen model a room; unknown keys are errors; all faults of a file are listed at once. The rooms below take plain
arguments: only the command line and the pipeline know these classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from raygen.errors import InputError, SettingsError
from raygen.home import expanded
from raygen.model.cards import Domain, refuse_unknown_name
from raygen.number_of import number_of
from raygen.remote import exists, is_remote, shown
from raygen.scoring.embedding_columns import NOT_STORED, EmbeddingRequest, parse_storage
from raygen.scoring.embedding_plan import EmbeddingPlan, parse_pool
from raygen.setting_faults import faults_in_words, has_null
from raygen.tables.schemas import HAPLOTYPE_MEMBERS
from raygen.variants.table_columns import SITE, TableColumns

_FLAGS = {
    "input.variants": "--variants",
    "input.pairs": "--pairs",
    "input.reference": "--reference",
    "model.name": "--model",
    "output.path": "--out",
    "landing.folder": "--landing",
}
"""Settings that commands have a flag for. Not every command has each: see ``load_settings``."""

Text = Annotated[str, Field(min_length=1)]
"""A text that is not empty: an empty one is what an unset shell variable leaves, never an answer."""


def _expanded(path: str) -> str:
    try:
        return expanded(path)
    except SettingsError as error:
        raise ValueError(str(error).rstrip(".")) from error


PathText = Annotated[Text, AfterValidator(_expanded)]
"""A path or URI; ``~`` at its start is the home folder, as in a shell."""

_FOUR_CUTS = "four ascending numbers, e.g. [-7, -3, -1, 1]"
_POOLS = "variant, right:K (K bases, as in right:64) or suffix, or a list of these"
_STORES = "float32, float16, projection:D (D dimensions, as in projection:256) or none"
_ACTORS = "auto, a whole number of at least 1, or a range [min, max] with 1 <= min <= max"


def _one_or_many(value: Any) -> Any:
    """One text stands for a list of one."""
    return [value] if isinstance(value, str) else value


class _Room(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic would read ``window.left=true`` as 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise PydanticCustomError("truth_value", "true and false are no value here")
        return value


class InputSettings(_Room):
    """What is scored."""

    variants: list[PathText] | None = Field(
        None, description="files of variants (VCF, BCF, Parquet, .pvar, .bim, .bgi, CSV, TSV) or folders; or `pairs`"
    )
    pairs: list[PathText] | None = Field(
        None, description="Parquet with pair_id, wt_sequence, mut_sequence; or `variants`"
    )
    reference: PathText | None = Field(
        None, description="FASTA of the variants' assembly, plain, gzip or bgzip; indexed when not yet"
    )
    circular: list[Text] = Field(
        [], description="contigs without ends, e.g. MT, or a list of them: their windows wrap around the origin"
    )
    max_allele_length: int = Field(1000, ge=1, description="bases; longer alleles are rejected")
    max_mismatch_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="of a file's REF alleles on a contig, where 10 or more differ from the reference; more stop the run, for of what "
        "differs a third again agrees by chance; on the right assembly it is below 0.01",
    )
    max_unknown_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="of a file's alleles, where 10 or more are on contigs that the reference lacks; more stop the run; 1 scores "
        "the rest alone, e.g. of a genome on the FASTA of one chromosome",
    )
    source_columns: list[Text] = Field([], description="INFO fields or columns that are carried through to the scores")
    columns: dict[str, Text] = Field(
        {},
        description="of tables: {chrom: ..., pos: ..., ref: ..., alt: ..., id: ...}, by what they are called, where that is not usual",
    )
    id_column: Text | None = Field(
        None, description="of tables: a column like 1-55051215-G-GA, in place of those for contig, position and alleles"
    )
    haplotype_column: Text | None = Field(
        None, description="INFO field or column that names an allele's haplotype: its members are scored together, too"
    )
    domain: Domain | None = Field(
        None, description="what the sequences come from; rows are flagged where the model was not trained on it"
    )

    @property
    def carried_columns(self) -> list[str]:
        """Columns that go with each score: the ones asked for, and with haplotypes their names and their members."""
        haplotype_columns = [self.haplotype_column, HAPLOTYPE_MEMBERS] if self.haplotype_column else []
        return [*self.source_columns, *(name for name in haplotype_columns if name not in self.source_columns)]

    @property
    def ingest_options(self) -> dict[str, Any]:
        """The keyword arguments of ``raygen.variants.ingest.ingest`` that these settings decide."""
        names = ("max_allele_length", "source_columns", "haplotype_column", "max_mismatch_share", "max_unknown_share")
        return {**{name: getattr(self, name) for name in names}, "table_columns": self.table_columns}

    @property
    def table_columns(self) -> TableColumns:
        """What is said of the columns of tables."""
        return TableColumns(self.columns, self.id_column)

    @field_validator("columns")
    @classmethod
    def _of_sites(cls, columns: dict[str, str]) -> dict[str, str]:
        if unknown := [name for name in columns if name not in (*SITE, "id")]:
            raise ValueError(f"{', '.join(unknown)} is not one of chrom, pos, ref, alt and id")
        return columns

    @field_validator("id_column")
    @classmethod
    def _instead_of_columns(cls, id_column: str | None, info: ValidationInfo) -> str | None:
        if id_column and set(info.data.get("columns", ())) & set(SITE):
            raise ValueError("it holds contig, position and alleles; leave these out of input.columns")
        return id_column

    _lists = field_validator("variants", "pairs", "circular", "source_columns", mode="before")(_one_or_many)


class ModelSettings(_Room):
    """Which model scores."""

    name: PathText = Field("demo", description="demo, a folder with a checkpoint, or a hub id")
    revision: Text | None = Field(None, description="revision of a hub id")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="of weights and matrix products; auto: half precision on a GPU, float32 on a CPU"
    )
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="auto: a GPU where there is one")
    allow_unvalidated: bool = Field(
        False, description="score with a model that needs FP8 for its published numbers, too, and flag every row"
    )


class WindowSettings(_Room):
    """How much sequence a score sees. More is slower and, up to the model's context, better informed."""

    left: int | None = Field(None, ge=0, description="bases before the variant; default half of the model's context")
    right: int | None = Field(None, ge=1, description="bases from the variant on; default half of the model's context")
    anchor: Literal["variant", "grid"] = Field(
        "variant", description="variant: each has its own window; grid: neighbours share one, which is much cheaper"
    )
    stride: int | None = Field(
        None, ge=1, description="bases between windows on a grid; larger shares more; left + stride + right must fit"
    )
    strand: Literal["forward", "reverse", "both"] = Field(
        "forward",
        description="both: the mean of the two, at twice the cost; recommended: only then does `abstained` see strands disagree",
    )


class ScoringSettings(_Room):
    """How the likelihoods are computed."""

    method: Literal["fork", "pair"] = Field(
        "fork", description="fork: what alleles share is computed once; pair: two full passes, the definition"
    )
    max_batch_tokens: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto", description="tokens in one pass; larger is faster until memory ends; halved when it does"
    )
    state_memory: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="bytes for shared states, for the method fork; auto: 1 GiB, on a GPU a quarter of what is free",
    )
    keep_every: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds of an actor's work after which scored rows are kept; a stop loses about as much",
    )
    prescored: PathText | None = Field(
        None, description="table of `raygen tabulate` under this run's fingerprint; the changes it holds need no model"
    )
    max_failed_share: float = Field(
        0.05, ge=0, le=1, description="of the rows tried (of 300 where it is fewer); more that fail stop the run"
    )


class ClassSettings(_Room):
    """How a delta becomes a class."""

    preset: Literal["glm-clinical"] = Field("glm-clinical", description="the names of the classes")
    cuts: tuple[float, float, float, float] = Field(
        (-7.0, -3.0, -1.0, 1.0),
        description="where the classes meet: four ascending numbers, in nats, with classes.on=phred in PHRED",
        json_schema_extra={"must_be": _FOUR_CUTS},
    )
    background: PathText | None = Field(
        None,
        description="file of `raygen background` for this fingerprint; adds percentile, phred and the like, what a score is ranked at",
    )
    on: Literal["delta_llr", "phred", "delta_context"] = Field(
        "delta_llr",
        description="what the cuts are of: delta_llr or delta_context, nats; phred, whose cuts are PHRED; the last two need a background",
    )
    calibration: PathText | None = Field(
        None, description="file of `raygen calibrate` for this fingerprint; gives the cuts, a probability and evidence"
    )
    heads: list[PathText] = Field(
        [],
        description="files of `raygen head train` for this fingerprint; each adds a column head_NAME, log-odds, from states that need "
        "not be stored",
    )

    _lists = field_validator("heads", mode="before")(_one_or_many)

    @field_validator("cuts")
    @classmethod
    def _ascending(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if not all(low < high for low, high in pairwise(cuts)):
            raise ValueError(f"must be {_FOUR_CUTS}")
        return cuts

    @field_validator("on")
    @classmethod
    def _fits(cls, on: str, info: ValidationInfo) -> str:
        if on == "phred" and min(info.data.get("cuts", (0.0,))) < 0:
            raise ValueError(
                "PHRED is never below 0; give classes.cuts in PHRED, the lowest first, e.g. [0, 10, 20, 30]"
            )
        if on != "delta_llr" and info.data.get("background") is None:
            raise ValueError("this needs classes.background, a file of `raygen background`")
        return on

    @field_validator("calibration")
    @classmethod
    def _instead_of_cuts(cls, calibration: str | None, info: ValidationInfo) -> str | None:
        if calibration and info.data.get("cuts", cls.model_fields["cuts"].default) != cls.model_fields["cuts"].default:
            raise ValueError("a calibration brings its own cut points; leave classes.cuts out")
        if calibration and info.data.get("on", "delta_llr") != "delta_llr":
            raise ValueError("a calibration cuts delta_llr; leave classes.on out")
        return calibration


ExtraColumn = Literal["site_llr", "entropy", "jsd", "peak", "peak_offset"]


class OutputSettings(_Room):
    """Where results go."""

    path: PathText | None = Field(None, description="folder of the run; scores of one fingerprint only")
    table_format: Literal["parquet", "iceberg"] = Field(
        "parquet",
        description="parquet, partitioned by chrom; iceberg: the same, and each run as one Iceberg transaction",
    )
    catalog: Text | None = Field(
        None, description="an Iceberg catalog of your pyiceberg configuration; default: SQLite beside the scores"
    )
    extra_columns: list[ExtraColumn] = Field(
        [],
        description="what the same passes say beside the score: site_llr, entropy, jsd, peak, peak_offset; the README defines them",
    )

    _lists = field_validator("extra_columns", mode="before")(_one_or_many)

    @field_validator("extra_columns")
    @classmethod
    def _each_once(cls, names: list[ExtraColumn]) -> list[ExtraColumn]:
        return list(dict.fromkeys(names))


class EmbedSettings(_Room):
    """What of the model's states is kept beside the scores."""

    layers: list[Text] = Field(
        [], description="whose states are pooled, e.g. blocks.20, blocks.20.mlp.l3 or norm; none: no embeddings"
    )
    pool: list[Text] = Field(
        ["right:64"],
        min_length=1,
        description="the positions that are averaged: variant, right:K (K bases from the variant on, at most window.right), suffix",
        json_schema_extra={"must_be": _POOLS},
    )
    store: str = Field(
        "float32",
        description="how embeddings/ holds them: float32, float16, projection:D (a fixed random projection on D dimensions), or none",
        json_schema_extra={"must_be": _STORES},
    )
    distances: list[Literal["l2", "cosine"]] = Field(
        [], description="columns beside the scores: how far WT's and MUT's pooled states are apart, l2 and cosine"
    )

    _lists = field_validator("layers", "pool", "distances", mode="before")(_one_or_many)

    @field_validator("layers", "pool", "distances")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        return list(dict.fromkeys(names))

    @field_validator("pool")
    @classmethod
    def _pools(cls, names: list[str]) -> list[str]:
        for name in names:
            _refuse_unparsed(parse_pool, name, _POOLS)
        return names

    @field_validator("store")
    @classmethod
    def _storage(cls, name: str) -> str:
        if name != NOT_STORED:
            _refuse_unparsed(parse_storage, name, _STORES)
        return name

    @property
    def request(self) -> EmbeddingRequest | None:
        """What a run is to do with pooled states; None for nothing."""
        if not self.layers:
            return None
        storage = None if self.store == NOT_STORED else parse_storage(self.store)
        return EmbeddingRequest(EmbeddingPlan(tuple(self.layers), tuple(self.pool)), storage, tuple(self.distances))


def _refuse_unparsed(parse: Callable[[str], object], name: str, must_be: str) -> None:
    try:
        parse(name)
    except SettingsError as error:
        raise ValueError(f"must be {must_be}") from error


class LandingSettings(_Room):
    """Where `raygen nightly` finds what is new."""

    folder: Annotated[str, AfterValidator(_expanded)] | None = Field(
        None, description="folder (or prefix on object storage) into which files of variants are put, searched below"
    )
    settle_seconds: float = Field(
        300,
        ge=0,
        allow_inf_nan=False,
        description="a file that changed less than this ago may still be written, and waits for the next night",
    )


def fault_of_ray_address(address: str) -> str | None:
    """Why raygen cannot run at an address of Ray, and what to give instead; None where it may.

    A run's driver is a process of the cluster: it reads the input and holds the lock on the output. Ray Client and the dashboard
    are doors for those outside.
    """
    scheme, slashes, rest = address.rpartition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    if not slashes and (address in ("auto", "local") or (host and port.isdigit())):
        return None
    head = host or port or "HEAD"
    if scheme == "ray":
        reason = "is an address of Ray Client, which raygen does not support"
    elif scheme in ("http", "https"):
        reason = "is an address of Ray's dashboard, which takes jobs and no drivers"
    else:
        reason = "is no address of a Ray cluster that raygen can join"
    if not slashes:
        return f"{reason}: it must be HOST:PORT, e.g. {head}:6379"
    return (
        f"{reason}: on a machine of the cluster it must be HOST:PORT, e.g. {head}:6379; from outside, send the run there: "
        f"ray job submit --address http://{head}:8265 -- python jobs/score_variants.py run.yaml"
    )


class ClusterSettings(_Room):
    """What a run runs on."""

    address: Text | None = Field(
        None, description="of a running Ray cluster; default: RAY_ADDRESS, else Ray on this machine"
    )
    actors: Literal["auto"] | Annotated[int, Field(ge=1)] | tuple[int, int] = Field(
        "auto",
        description="how many models are resident: a number, [min, max], or auto",
        json_schema_extra={"must_be": _ACTORS},
    )
    gpus_per_actor: float = Field(
        1, gt=0, allow_inf_nan=False, description="GPUs, or a share of one, for each model; only where there are GPUs"
    )

    @field_validator("address")
    @classmethod
    def _can_be_joined(cls, address: str | None) -> str | None:
        if address and (fault := fault_of_ray_address(address)):
            raise ValueError(fault)
        return address

    @field_validator("actors")
    @classmethod
    def _a_range(cls, actors: Any) -> Any:
        if isinstance(actors, tuple) and not 1 <= actors[0] <= actors[1]:
            raise ValueError(f"must be {_ACTORS}")
        return actors


class Settings(_Room):
    """Everything a run depends on."""

    input: InputSettings = InputSettings()
    model: ModelSettings = ModelSettings()
    window: WindowSettings = WindowSettings()
    scoring: ScoringSettings = ScoringSettings()
    classes: ClassSettings = ClassSettings()
    output: OutputSettings = OutputSettings()
    embed: EmbedSettings = EmbedSettings()
    cluster: ClusterSettings = ClusterSettings()
    landing: LandingSettings = LandingSettings()


def load_settings(
    config: str | None, overrides: Sequence[str] = (), given: Mapping[str, Any] | None = None, complete: bool = True
) -> Settings:
    """Settings from a YAML file, then ``--set`` overrides, then what flags gave (dotted names to values).

    Args:
        given: what flags gave, None for a flag that was left out; errors name the flags of the settings in it.
        complete: whether the settings must be enough for a run.

    Raises:
        SettingsError: with every fault of the file and the overrides, one a line.
    """
    given = given or {}
    tree = _read_yaml(config) if config else {}
    faults = _put_overrides(tree, overrides)
    for name, value in given.items():
        if value is not None:
            _put(tree, name, value)

    def shown_name(name: str) -> str:
        return f"{name} ({_FLAGS[name]})" if name in given and name in _FLAGS else name

    gaps = _gaps(tree, shown_name) if complete else []
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        faults += faults_in_words(error, Settings, tree, shown_name)
    faulty_settings = {fault.partition(":")[0] for fault in faults}
    # a setting that is wrong is not also missing
    gaps = [gap for gap in gaps if gap.partition(":")[0] not in faulty_settings]
    if faults or gaps:
        lines = [f"  {fault}" for fault in (*faults, *gaps)]
        raise SettingsError("\n".join([f"{number_of(len(lines), 'error')} in {config or 'the settings'}:", *lines]))
    return settings


def refuse_missing_files(settings: Settings) -> None:
    """Look whether the files of the input are there, all of them at once.

    Raises:
        InputError: some files are missing.
        SettingsError: a filesystem does not answer.
    """
    input_settings = settings.input
    paths_of_setting = {
        "input.variants": input_settings.variants,
        "input.pairs": input_settings.pairs,
        "input.reference": [input_settings.reference or ""],
    }
    landing = settings.landing.folder or ""
    # on object storage an empty folder is none
    paths_of_setting["landing.folder"] = [] if is_remote(landing) else [landing]
    paths_of_setting["classes.calibration"] = [settings.classes.calibration or ""]
    paths_of_setting["classes.background"] = [settings.classes.background or ""]
    paths_of_setting["classes.heads"] = settings.classes.heads
    paths = [(setting, path) for setting, some in paths_of_setting.items() for path in some or [] if path]
    absent = [f"{setting} {shown(path)}" for setting, path in paths if not exists(path)]
    if absent:
        raise InputError(f"No such file or folder: {', '.join(absent)}.")


def refuse_unknown_model(settings: Settings) -> None:
    """Look whether the model can be one; whether it is a good one is seen when it is opened.

    Raises:
        SettingsError: there is no such model.
    """
    if not is_remote(settings.model.name):
        refuse_unknown_name(settings.model.name)


def dump_settings(settings: Settings) -> str:
    """The settings as YAML, every default written out and every setting described in a comment above it."""
    lines = []
    for room, values in settings.model_dump(mode="json").items():
        section: type[BaseModel] = type(getattr(settings, room))
        lines.append(f"{room}:")
        for key, value in values.items():
            lines.append(f"  # {section.model_fields[key].description}")
            lines += [f"  {line}" for line in yaml.safe_dump({key: value}, sort_keys=False).splitlines()]
    return "\n".join(lines) + "\n"


def _read_yaml(config: str) -> dict[str, Any]:
    path = Path(config)
    if path.is_dir():
        raise SettingsError(f"{config} is a folder, not a settings file.")
    if not path.is_file():
        raise SettingsError(f"No such settings file: {config}.")
    try:
        tree = _with_written_keys(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config} is not YAML: {' '.join(str(error).split())}.") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{config} must hold sections such as `input:` and `model:`, not a {type(tree).__name__}.")
    return tree


def _with_written_keys(tree: Any) -> Any:
    """The tree with the key ``on``, which YAML 1.1 reads as the truth value that it is as a value."""
    if not isinstance(tree, dict):
        return tree
    return {"on" if key is True else key: _with_written_keys(value) for key, value in tree.items()}


def _put_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Put what ``--set`` says into the tree; returns the faults of those that say nothing."""
    faults = []
    for override in overrides:
        name, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not name:
            raise SettingsError(f"--set {override!r}: write it as key.path=value, e.g. --set window.left=1024.")
        if text:
            _put(tree, name, _value(override, text))
        else:
            default = f"write {name}=null" if has_null(name, Settings) else "leave it out"
            faults.append(f"{name}= has no value (an unset shell variable?); {default} for the default")
    return faults


def _value(override: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"--set {override!r}: the value is not YAML; a text with : or brackets needs quotes."
        ) from error


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *rooms, key = name.split(".")
    for room in rooms:
        nested = tree.setdefault(room, {})
        if not isinstance(nested, dict):
            raise SettingsError(f"{name}: `{room}` is a value here, not a section.")
        tree = nested
    tree[key] = value


def _gaps(tree: Mapping[str, Any], shown_name: Callable[[str], str]) -> list[str]:
    """What a run needs and the settings lack, or have together and must not."""

    def value_of(name: str) -> Any:
        room, _, key = name.partition(".")
        section = tree.get(room)
        return section.get(key) if isinstance(section, dict) else None

    faults = []
    inputs = ("input.variants", "input.pairs")
    either = " or ".join(map(shown_name, inputs))
    if value_of("landing.folder"):
        superfluous = [name for name in inputs if value_of(name)]
        faults += [
            f"{shown_name(name)}: the landing folder is the input of a night, leave it out" for name in superfluous
        ]
    elif not any(map(value_of, inputs)):
        faults.append(f"{either}: say what is to be scored")
    elif all(map(value_of, inputs)):
        faults.append(f"{either}: give one of them, not both")
    if (value_of("input.variants") or value_of("landing.folder")) and not value_of("input.reference"):
        faults.append(f"{shown_name('input.reference')}: variants need the FASTA of their assembly")
    if not value_of("output.path"):
        faults.append(f"{shown_name('output.path')}: say where the scores go")
    if value_of("input.pairs") and not value_of("input.variants"):
        names = ("input.reference", "input.circular", "input.source_columns", *_WINDOW)
        faults += [
            f"{shown_name(name)}: pairs bring their own sequences, leave it out" for name in names if value_of(name)
        ]
    if value_of("window.anchor") == "grid" and value_of("window.stride") is None:
        faults.append("window.stride: windows on a grid (window.anchor) need it, the bases from one to the next")
    if value_of("window.anchor") in (None, "variant") and value_of("window.stride") is not None:
        faults.append("window.stride: is of windows on a grid; set window.anchor=grid with it, or leave it out")
    if value_of("embed.distances") and not value_of("embed.layers"):
        faults.append("embed.layers: embed.distances are of the states of layers; name those")
    reading_states = [name for name in ("embed.layers", "classes.heads") if value_of(name)]
    if reading_states and value_of("scoring.prescored"):
        faults.append(
            f"scoring.prescored: a position table holds no states; leave it out, or {' and '.join(reading_states)}"
        )
    return faults


_WINDOW = tuple(f"window.{name}" for name in WindowSettings.model_fields)
