"""Dashboard and alert rules name metrics that exist, and all that exist."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from raygen.pipeline.metrics import COUNTERS, GAUGES, VARIANTS_LEFT
from tests.infra.manifests import INFRA

EXPORTED = {metric.exported: metric for metric in (*COUNTERS, *GAUGES)}
DASHBOARD = json.loads((INFRA / "monitoring/dashboard.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((INFRA / "monitoring/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
SHOWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [*SHOWN, *(rule["expr"] for rule in RULES)]


def metrics_in(expression):
    return set(re.findall(r"\bray_\w+", expression))


def labels_in(expression):
    by = re.findall(r"by \(([\w, ]+)\)", expression)
    matched = re.findall(r"(\w+)=~?\"", expression)
    return {label.strip() for group in by for label in group.split(",")} | set(matched)


def test_every_name_is_one_that_raygen_exports():
    assert {name for expression in EXPRESSIONS for name in metrics_in(expression)} <= set(EXPORTED)


def test_the_dashboard_shows_every_metric():
    assert {name for expression in SHOWN for name in metrics_in(expression)} == set(EXPORTED)


def test_every_label_is_one_that_the_metric_has():
    for expression in EXPRESSIONS:
        known = {label for name in metrics_in(expression) for label in ("run", *EXPORTED[name].labels)}
        assert labels_in(expression) <= known, expression


def test_counters_are_looked_at_by_their_rate_where_time_matters():
    for expression in EXPRESSIONS:
        for name in re.findall(r"(?:rate|increase)\((ray_\w+)", expression):
            assert name.endswith("_total"), expression
        assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_does_not_wait_for_a_counter_that_is_absent_before_its_first_count(rule):
    """Ray exports a counter from its first count on; a gauge from the start."""
    expression = rule["expr"]
    assert not re.search(r"\b(rate|increase)\(", expression), "it misses the first count, and is empty before it"
    left = re.escape(f"0 * max by (run) ({VARIANTS_LEFT.exported})")
    taken_for_zero = re.findall(rf"\((sum by \(run\) \((ray_\w+_total)[^()]*\)) or {left}\)", expression)
    for piece, _ in taken_for_zero:
        expression = expression.replace(piece, "")
    required = re.findall(r"ray_\w+_total", expression)
    assert len(required) <= 1, "of two that must be there, one may not be: " + expression
    if not required:
        assert VARIANTS_LEFT.exported in expression


def test_the_rules_do_what_they_say_over_made_up_runs():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, which plays infra/monitoring/alerts_test.yaml, is not installed")
    done = subprocess.run(
        [promtool, "test", "rules", INFRA / "monitoring/alerts_test.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_played():
    played = (INFRA / "monitoring/alerts_test.yaml").read_text()
    assert all(f'"{rule["alert"]}"' in played for rule in RULES)


def test_panels_do_not_lie_on_each_other_and_have_titles():
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])


def test_every_alert_says_what_to_do():
    assert {rule["alert"] for rule in RULES} >= {"RaygenStandsStill", "RaygenActorsDie", "RaygenScoringFails"}
    for rule in RULES:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} <= set(rule["annotations"])
