"""What deploy/ shows and alerts on exists: every series and every label is one of the daemons' own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql
import pytest
import yaml

from cloud.metrics import CloudMetrics
from edge.metrics import EdgeMetrics
from hybrid_prover.telemetry.metrics import DaemonMetrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "hybrid-prover.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DOCS = ROOT / "docs" / "observability.md"
OF_PROMETHEUS = {"instance", "job"}
DURATION = re.compile(r"^\d+[smhd]$")


def daemons() -> list[DaemonMetrics]:
    return [CloudMetrics(dict), EdgeMetrics(dict)]


def catalogue() -> dict[str, tuple[str, ...]]:
    """Labels by series: the daemons' own, those of the process, and Prometheus's `up`."""
    known: dict[str, tuple[str, ...]] = {"up": ()}
    for metrics in daemons():
        known |= metrics.catalogue
        known |= {
            s.name: tuple(s.labels)
            for family in metrics.registry.collect()
            for s in family.samples
            if s.name.startswith("process_")
        }
    return known


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]


def expressions() -> Iterator[tuple[str, str, str]]:
    """(where, expression, legend or texts that may name labels)."""
    for rule in alerts():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def test_the_catalogue_is_what_is_exposed() -> None:
    for metrics in daemons():
        exposed = {family.name for family in metrics.registry.collect() if family.name.startswith(metrics.prefix)}
        named = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in metrics.catalogue}
        assert exposed == named


@pytest.mark.parametrize(("where", "text", "legend"), list(expressions()), ids=lambda value: str(value)[:40])
def test_every_expression_names_real_series_and_labels(where: str, text: str, legend: str) -> None:
    known, expression = catalogue(), promql.parse(text)
    labels: set[str] = set(OF_PROMETHEUS)
    for selector in expression.selectors:
        assert selector.name in known, f"{where}: no series {selector.name}"
        own = set(known[selector.name])
        labels |= own
        assert set(selector.labels) <= own | OF_PROMETHEUS, f"{where}: {selector.name} has {sorted(own)}"
        counted = selector.name.endswith(("_total", "_bucket", "_sum", "_count"))
        over_time = any(f in ("rate", "increase") for f in selector.inside)
        assert over_time == counted, f"{where}: {selector.name} is {'a counter' if counted else 'a gauge'}"
        assert bool(selector.range) == (over_time or "deriv" in selector.inside), f"{where}: range of {selector.name}"
        if "histogram_quantile" in selector.inside:
            assert selector.name.endswith("_bucket")
            assert "le" in expression.grouping, f"{where}: quantiles need le"
    assert expression.grouping <= labels, f"{where}: {sorted(expression.grouping)} of {sorted(labels)}"
    for name in re.findall(r"\$labels\.(\w+)", legend) + re.findall(r"{{\s*(\w+)\s*}}", legend):
        assert name in labels, f"{where}: the text names the label {name}"


def test_alert_rules_are_whole() -> None:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    assert len({g["name"] for g in groups}) == len(groups)
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"HybridProver[A-Z]\w+", rule["alert"])
        assert DURATION.match(rule.get("for", "0s"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
    wanted = (
        "QueueWaitGrowing", "JobsFailing", "WorkerLost", "SegmentQuarantined", "StoreSlow", "Backlog", "NoProgress",
        "DeviceFault", "CertificateExpires",
    )  # fmt: skip
    assert {f"HybridProver{name}" for name in wanted} <= set(names)


def test_the_scrape_configuration_takes_the_rules() -> None:
    config = yaml.safe_load(SCRAPE.read_text())
    assert config["rule_files"] == [ALERTS.name]
    assert [c["job_name"] for c in config["scrape_configs"]] == ["hybrid-prover-cloud", "hybrid-prover-edge"]


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        used = {name for t in panel["targets"] for name in re.findall(r"\$(\w+)", t["expr"])}
        assert used <= variables | {"__rate_interval"}
        assert {t["refId"] for t in panel["targets"]} == {chr(65 + i) for i in range(len(panel["targets"]))}


def test_the_page_lists_every_metric() -> None:
    text = DOCS.read_text()
    missing = [
        name
        for metrics in daemons()
        for family in metrics.registry.collect()
        if (name := family.name.removeprefix(metrics.prefix + "_")) != family.name and f"`{name}" not in text
    ]
    assert not missing


@pytest.mark.parametrize(
    "wrong",
    ["rate(hybrid_prover_cloud_acks_total[5m]", "nonsense(up)", "sum by (le (up)", "up )", "rate(§)", "5 > 3"],
)
def test_wrong_expressions_are_found(wrong: str) -> None:
    with pytest.raises(SyntaxError):
        promql.parse(wrong)
