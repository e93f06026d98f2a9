"""Real Prometheus and Alertmanager beside the agent, and nothing made up between them."""

import time

from support import servers
from support.agent import eventually
from support.servers import needs_alertmanager, needs_amtool, needs_prometheus


@needs_prometheus
def test_prometheus_scrapes_the_metrics_and_alerts_on_them(tempo, webhook, make_agent, traffic, make_prometheus):
    traffic.mixed(60, time.time() - 30, time.time() - 6, slow=0.2, failed=0.2)
    tempo.plant(traffic)
    agent = make_agent(tempo, webhook).wait_ready()
    eventually(lambda: agent.metric("trace_anomalies_total", type="high_latency") == len(traffic.slow()), "all are counted")
    prometheus = make_prometheus([f"127.0.0.1:{agent.port}"])
    has = lambda expression: eventually(lambda: prometheus.query(expression), lambda: f"{expression}: {prometheus.targets()}")  # noqa: E731

    ((labels, value),) = has('trace_anomalies_total{type="high_latency"}')
    assert value == len(traffic.slow()) and labels["job"] == "tested"
    for expression in (
        'trace_alert_checks_total{status="success"} > 0', "spanwatch_ticks_total > 0", "spanwatch_build_info == 1",
        "histogram_quantile(0.9, trace_alert_query_duration_ms_bucket)", 'spanwatch_outbox_depth{receiver="webhook"} == 0',
        "rate(spanwatch_ticks_total[10s]) > 0",
    ):  # fmt: skip
        has(expression)
    (target,) = prometheus.targets()
    assert target["health"] == "up" and target["lastError"] == ""
    # Everything that /metrics shows is a series, under its own name and labels.
    shown = set(agent.metrics())

    def stored():
        return {
            (labels["__name__"], tuple(sorted((k, v) for k, v in labels.items() if k not in ("__name__", "job", "instance"))))
            for labels, _ in prometheus.query('{job="tested"}')
        }

    eventually(lambda: shown <= stored(), lambda: f"missing: {sorted(shown - stored())[:10]}")


@needs_prometheus
@needs_alertmanager
@needs_amtool
def test_an_alert_of_prometheus_on_the_agent_reaches_alertmanager(tempo, webhook, make_agent, make_prometheus, make_alertmanager, tmp_path):
    """What watches the watcher: the agent is gone, and Prometheus says so."""
    rules = tmp_path / "rules.yml"
    rules.write_text("""
groups:
  - name: agent
    rules:
      - alert: SpanwatchDown
        expr: up{job="tested"} == 0
""")
    agent = make_agent(tempo, webhook).wait_ready()
    alertmanager = make_alertmanager()
    prometheus = make_prometheus(
        [f"127.0.0.1:{agent.port}"], alertmanagers=[f"127.0.0.1:{alertmanager.port}"], extra=f"rule_files: ['{rules}']"
    )
    eventually(lambda: prometheus.query('up{job="tested"} == 1'), "the agent is up")
    assert not alertmanager.alerts()
    agent.kill()
    (alert,) = eventually(alertmanager.alerts, "an alert")
    assert alert["labels"]["alertname"] == "SpanwatchDown"
    assert "SpanwatchDown" in servers.amtool(alertmanager.url, "alert", "query")
