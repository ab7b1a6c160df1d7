"""What a manifest says about its run, as names and values for a page: what was run, what came of each allele, what it cost."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from raygen.classes.classify import cuts_from_json
from raygen.classes.words import phred_cuts
from raygen.number_of import gigabytes, rate
from raygen.pages.rank_tally import SEVERE
from raygen.pages.tally import Tally
from raygen.pages.variant_words import number
from raygen.tables.accounts import RECLASSIFIED, ROLLED_BACK

_MEMORY = {"its GPU": "raygen_gpu_memory_bytes", "the host": "raygen_host_memory_bytes"}
ENDED = {
    "running": "When the report was made this run was still at work, or it was killed: the numbers are those so far.",
    "stopped": "This run was stopped before everything was scored. The same command goes on from there.",
    "failed": "This run failed before everything was scored. Its error says why; the same command goes on from there.",
    ROLLED_BACK: "This run was rolled back: its scores are no longer in the folder, and those that are there are of other runs.",
}


@dataclass(frozen=True)
class Tile:
    """A number that is shown large, with what it counts and a remark."""

    value: str
    label: str
    remark: str = ""


def is_reclassified(manifest: Mapping[str, Any]) -> bool:
    """Whether the folder holds another run's scores with other classes: such a run scored nothing."""
    return manifest.get("kind") == RECLASSIFIED


def headline(manifest: Mapping[str, Any], tally: Tally) -> list[Tile]:
    """The few numbers of a report to see first."""
    counts = manifest["counts"]
    num_rows = tally.runs.get(manifest["run_id"], 0)
    by_this_run = "all by this run" if num_rows == tally.rows else f"{num_rows:,} by this run"
    tiles = [
        Tile(f"{tally.rows:,}", "variants scored", "classified again" if is_reclassified(manifest) else by_this_run),
        Tile(f"{counts['num_rejected']:,}", "alleles rejected", f"of {counts['alleles_in']:,} that went in"),
        Tile(f"{tally.abstained:,}", "abstained on", share(tally.abstained, tally.rows)),
    ]
    if tally.ranks:
        num_severe = tally.ranks.num_from(SEVERE)
        tiles.append(
            Tile(
                f"{num_severe:,}",
                f"at PHRED {SEVERE} or above",
                f"{share(num_severe, tally.rows)}; of the background 1%",
            )
        )
    if is_reclassified(manifest):
        return tiles
    seconds, tokens = manifest["seconds"].get("score", 0.0), manifest["tokens"]
    if seconds and counts["scored"]:
        tiles.append(Tile(rate(counts["scored"] / seconds), "variants a second", f"over {duration(seconds)}"))
    if tokens["by_two_passes"]:
        tiles.append(
            Tile(
                f"{tokens['saved'] / tokens['by_two_passes']:.0%}",
                "of the tokens saved",
                "against two full passes a variant",
            )
        )
    return tiles


def notices(manifest: Mapping[str, Any]) -> list[str]:
    """What to know before any number is read, the gravest first: off-label domain, then how the run ended, then its warnings."""
    sentences, model = [], manifest["model"]
    warnings = list(manifest["warnings"])
    if manifest["resolved"]["off_label"]:
        sentences += [warning for warning in warnings if "off_label_domain" in warning]
        warnings = [warning for warning in warnings if "off_label_domain" not in warning]
    if model["domains"] == []:
        sentences.append(
            f"The model {model['name']} was trained on nothing: it shows how the software runs, and its scores mean nothing."
        )
    if manifest["status"] in ENDED:
        sentences.append(ENDED[manifest["status"]])
    return [*sentences, *warnings, *model["remarks"]]


def what_was_run(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a run by name: model, window, input, reference and machine."""
    model, resolved, settings = manifest["model"], manifest["resolved"], manifest["settings"]
    machine, actors, versions = manifest["machine"], manifest.get("actors"), manifest["versions"]
    inputs = settings["input"]["variants"] or settings["input"]["pairs"] or []
    domains = model["domains"]
    trained = "not known: a folder has no model card" if domains is None else ", ".join(domains) or "nothing"
    facts = {
        "model": f"{model['name']}, {_large(model['num_parameters'])} parameters"
        + (f", revision {model['revision']}" if model["revision"] else ""),
        "weights": model["weights_hash"][:16],
        "trained on": trained,
        "precision": f"{model['dtype']} on {model['device']} ({model['dtype_because']})",
        "window": window_words(resolved["window"]),
        "strand": resolved["strand"],
        "method": resolved["method"],
        "classes": _origin(manifest),
        "cut points": cut_points(manifest),
        "ranked against": background_words(manifest["background"]) if manifest.get("background") else "",
        "fingerprint": manifest["fingerprint"],
        "input": _names(inputs),
        "declared domain": settings["input"]["domain"] or "none",
        "reference": f"{PurePosixPath(resolved['reference']).name}, digest {resolved['identity']['reference_digest'][:16]}"
        if resolved["reference"]
        else "none: pairs bring their sequences",
        "machine": f"{machine['system']} on {machine['architecture']}, {machine['cpus']} CPU cores (the driver's)",
        "actors": _actors(actors) if actors else "none were started",
        "versions": ", ".join(
            f"{name} {versions[name]}" for name in ("raygen", "python", "torch", "ray") if name in versions
        ),
        "started": manifest["started"].replace("T", " "),
        "run": manifest["run_id"],
    }
    return {name: value for name, value in facts.items() if value}


def cost(
    manifest: Mapping[str, Any], price_per_hour: float | None, unit: str = "variant", alleles_a_unit: int = 1
) -> dict[str, str]:
    """Seconds and tokens of this run; money only where an hour has a price. Classes alone cost none of these.

    Args:
        unit: what tokens and money are counted for, and how many ``alleles_a_unit`` it is in the run's counts.
    """
    if is_reclassified(manifest):
        return {}
    seconds, tokens, counts = manifest["seconds"], manifest["tokens"], manifest["counts"]
    total, scoring = seconds.get("total", seconds.get("score", 0.0)), seconds.get("score", 0.0)
    num_units = counts["scored"] // alleles_a_unit
    facts = {"time in all": duration(total)}
    if "ingest" in seconds:
        facts["reading the input"] = duration(seconds["ingest"])
    if scoring:
        facts["scoring"] = f"{duration(scoring)}, starting the models included"
    facts["tokens computed"] = f"{tokens['computed']:,}"
    if num_units:
        facts[f"tokens a {unit}"] = f"{tokens['computed'] / num_units:,.{0 if alleles_a_unit == 1 else 1}f}"
    if tokens["by_two_passes"]:
        facts["tokens saved"] = (
            f"{tokens['saved']:,} of the {tokens['by_two_passes']:,} that two full passes would read "
            f"({tokens['by_two_passes'] / max(tokens['computed'], 1):,.1f} times fewer)"
        )
    facts |= _of_an_actor(tokens, manifest.get("metrics", {}))
    if manifest["rescored_in_float32"]:
        facts["scored again in float32"] = f"{manifest['rescored_in_float32']:,} pairs of sequences"
    if manifest["out_of_memory_halvings"]:
        facts["batches halved"] = f"{manifest['out_of_memory_halvings']:,} times, memory ended"
    if price_per_hour is not None:
        money = price_per_hour * total / 3600
        facts["money"] = f"{money:,.2f}, at {price_per_hour:,.2f} an hour for all that the run held"
        if num_units:
            facts[f"money a million {unit}s"] = f"{money / num_units * 1e6:,.2f}"
    return facts


def _of_an_actor(tokens: Mapping[str, int], metrics: Mapping[str, Any]) -> dict[str, str]:
    """How fast an actor is once its model is there, and the memory it needs; older manifests do not say all of it."""
    facts = {}
    num_tokens = tokens["computed"] - tokens.get("by_earlier_tries", 0)
    seconds = metrics.get("raygen_stage_seconds", {})
    if num_tokens and seconds.get("score"):
        facts["tokens a second"] = f"{rate(num_tokens / seconds['score'])} by an actor at work"
    memory = {of: metrics.get(name, 0) for of, name in _MEMORY.items()}
    amounts = [f"{gigabytes(size)} of {of}" for of, size in memory.items() if size]
    if amounts:
        facts["memory of an actor"] = f"at most {' and '.join(amounts)}"
    return facts


def window_words(window: Mapping[str, Any] | None) -> str:
    """A window of the manifest in words."""
    if window is None:
        return "the pairs' sequences as they are"
    grid = f", on a grid of {window['stride']:,}" if window["stride"] else ""
    return f"{window['left']:,} bases before the variant, {window['right']:,} from it on{grid}"


def share(part: int, total: int) -> str:
    """Which percentage of the ``total`` scored rows a part is, in words."""
    if not total:
        return "none were scored"
    return f"{part / total:.1%} of them" if part else "none of them"


def duration(seconds: float) -> str:
    """Seconds in words, e.g. 86,400 as ``24 h 0 min``."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def cut_points(manifest: Mapping[str, Any]) -> str:
    """The cut points of a run's classes, in the unit they were given in and, where that is another, in nats."""
    resolved = manifest["resolved"]
    on = resolved.get("classes_on")
    nats = f"{', '.join(map(_cut, cuts_from_json(resolved['cuts'])))} nats"
    if phred := phred_cuts(on):
        return f"PHRED {', '.join(f'{cut:g}' for cut in phred)}, which are {nats} of delta_llr"
    return f"{nats} of delta_context" if on else nats


def background_words(background: Mapping[str, Any]) -> str:
    """What scores are ranked against, from what a manifest keeps of a background."""
    sources = "; ".join(background["sources"])
    text = f"background {background['digest']}, {background['num_scores']:,} scores ({sources})"
    if not background.get("neutral"):
        return text
    return f"{text}; contexts learnt from {background['num_neutral']:,} changes, {background['neutral']}"


def _origin(manifest: Mapping[str, Any]) -> str:
    """Where the cut points of a run come from, in words."""
    prefix = f"given again to the scores of run {manifest['from']['run_id']}, " if is_reclassified(manifest) else ""
    calibration = manifest.get("calibration")
    if not calibration:
        return f"{prefix}by cut points of the settings, not learnt from labels"
    tuned_on = calibration.get("tuned_on")
    warning = f" (its labels also chose {tuned_on}: it is flattered)" if tuned_on else ""
    return f"{prefix}by a calibration at a prior of {calibration['prior']:g}, digest {calibration['digest']}{warning}"


def _cut(cut: float) -> str:
    if math.isinf(cut) or abs(cut) >= sys.float_info.max:  # beyond all deltas
        return "none"
    return number(cut, 0) if cut == int(cut) else number(cut)


def _large(count: int) -> str:
    return f"{count / 1e9:,.2f} billion" if count >= 1e9 else f"{count / 1e6:,.2f} million"


def _names(paths: list[str]) -> str:
    """The first file names of paths: folders of a machine are nobody else's business."""
    names = [PurePosixPath(path.rstrip("/")).name for path in paths]
    return ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")


def _actors(actors: Mapping[str, Any]) -> str:
    size = (
        actors["max_size"]
        if actors["min_size"] == actors["max_size"]
        else f"{actors['min_size']} to {actors['max_size']}"
    )
    gpus = (
        f", {actors['num_gpus']:g} GPU each"
        if actors["num_gpus"]
        else f", {actors['threads']} CPU thread{'s' * (actors['threads'] != 1)} each"
    )
    return f"{size} model{'s' * (size != 1)} resident{gpus}"
