"""The stand-in answers in the shape of the recorded answers: what tests say about the agent is worth as much as this."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from support import traceql
from support.tempo import DATA
from support.traffic import Traffic


def shape(value):
    """Keys and types, with lists and repeated objects merged."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        merged = {}
        for item in value:
            one = shape(item)
            if isinstance(one, dict):
                merged = merge(merged, one)
            else:
                merged = one
        return [merged]
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def merge(a, b):
    merged = dict(a)
    for key, value in b.items():
        both = key in merged and isinstance(merged[key], dict) and isinstance(value, dict)
        both_lists = key in merged and isinstance(merged[key], list) and isinstance(value, list)
        if both:
            merged[key] = merge(merged[key], value)
        elif both_lists and all(isinstance(side[0], dict) for side in (merged[key], value) if side):
            merged[key] = [merge(merged[key][0] if merged[key] else {}, value[0] if value else {})]
        else:
            merged[key] = value
    return merged


def missing(have, want, at=""):
    """Keys of `have` that `want` does not know, and types that differ."""
    if isinstance(have, dict) and isinstance(want, dict):
        problems = []
        for key, value in have.items():
            problems += missing(value, want[key], f"{at}.{key}") if key in want else [f"{at}.{key} is not in the recording"]
        return problems
    if isinstance(have, list) and isinstance(want, list):
        return missing(have[0], want[0], f"{at}[]") if have and want else []
    return [] if have == want else [f"{at}: {have} instead of {want}"]


def ask(tempo, path, **params):
    url = f"{tempo.url}{path}?{urllib.parse.urlencode(params)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def planted(tempo):
    traffic = Traffic(7)
    now = int(time.time())
    traffic.mixed(300, now - 50, now - 5, slow=0.2, failed=0.2)
    tempo.plant(traffic)
    return tempo, traffic, now - 60, now


Q_SEARCH = "{trace:duration>1000ms || status=error} | select(status, statusMessage, name, resource.service.name)"


@pytest.mark.parametrize(
    "path, params, recorded",
    [
        ("/api/search", {"q": Q_SEARCH, "limit": 200}, "search_slow_or_error_select"),
        ("/api/search", {"q": "{status=error}", "limit": 100}, "search_error_limit100"),
        (
            "/api/metrics/query_range",
            {"q": "{nestedSetParent<0} | histogram_over_time(duration) by (rootServiceName)", "step": "30s"},
            "metrics_range_histogram",
        ),
        ("/api/metrics/query", {"q": "{} | count_over_time() by (resource.service.name, status)"}, "metrics_instant_count_by_service_status"),
        ("/api/metrics/query", {"q": "{kind=server} | histogram_over_time(duration) by (resource.service.name, status)"}, "metrics_instant_histogram"),
    ],
)
def test_answers_have_the_recorded_shape(planted, path, params, recorded):
    tempo, _, start, end = planted
    status, body = ask(tempo, path, start=start, end=end, **params)
    assert status == 200
    want = json.loads((DATA / "tempo-3.0.3" / f"{recorded}.json").read_text())
    problems = missing(shape(json.loads(body)), shape(want))
    assert [problem for problem in problems if ".serviceStats." not in problem] == []  # its keys are names of services


@pytest.mark.parametrize(
    "path, params, recorded",
    [
        ("/api/search", {"q": "{status=error}", "start": 20, "end": 10}, "search_end_before_start.txt"),
        ("/api/search", {"start": "abc", "end": 10}, "search_bad_start.txt"),
        ("/api/search", {"start": 10, "end": 20, "limit": 10**9}, "search_huge_limit.txt"),
        ("/api/metrics/query", {"start": 10, "end": 20}, "metrics_no_q.txt"),
    ],
)
def test_errors_are_the_recorded_ones(tempo, path, params, recorded):
    status, body = ask(tempo, path, **params)
    want = (DATA / "tempo-3.0.3" / recorded).read_text()
    assert status == 400
    assert body.decode().split("received")[0].strip() == want.split("received")[0].strip()


def test_trace_by_id_has_the_recorded_shape(planted):
    tempo, traffic, _, _ = planted
    trace_id = next(iter(traffic.failed()))
    for path, recorded in ((f"/api/traces/{trace_id}", "trace_v1"), (f"/api/v2/traces/{trace_id}", "trace_v2")):
        status, body = ask(tempo, path)
        assert status == 200
        want = json.loads((DATA / "tempo-3.0.3" / f"{recorded}.json").read_text())
        assert [p for p in missing(shape(json.loads(body)), shape(want)) if "not in the recording" not in p] == []


def test_tempo_2_without_metrics_refuses_as_recorded(make_tempo):
    status, body = ask(make_tempo("2-no-metrics"), "/api/metrics/query", q="{} | count_over_time()", start=10, end=20)
    assert (status, body) == (500, (DATA / "tempo-2.9.0-no-metrics" / "metrics_instant_histogram.txt").read_bytes())


def test_tempo_3_hides_the_newest_30_seconds(make_tempo):
    tempo = make_tempo("3")
    now = int(time.time())
    traffic = Traffic(3)
    traffic.trace(now - 10, duration_ms=1)
    traffic.trace(now - 40, duration_ms=1)
    tempo.plant(traffic)
    assert ask(tempo, "/api/search", q="{}", start=now - 20, end=now)[0] == 400
    _, body = ask(tempo, "/api/metrics/query", q="{} | count_over_time()", start=now - 60, end=now)
    assert json.loads(body)["series"][0]["value"] == 2  # root and child of the older one


def test_every_planted_trace_can_be_found_and_no_other(planted):
    tempo, traffic, start, end = planted
    _, body = ask(tempo, "/api/search", q="{ status = error || duration > 1s }", start=start, end=end, limit=1000, spss=100)
    found = {trace["traceID"].rjust(32, "0") for trace in json.loads(body)["traces"]}
    assert found == traffic.slow() | traffic.failed()
    assert any(trace["traceID"] != trace["traceID"].rjust(32, "0") for trace in json.loads(body)["traces"]), "no id lost its zeros"


def test_counts_are_the_truth_in_each_step(planted):
    tempo, traffic, start, end = planted
    start, end = start // 10 * 10, end // 10 * 10
    q = "{ kind = server || kind = consumer || nestedSetParent < 0 } | count_over_time() by (status)"
    _, body = ask(tempo, "/api/metrics/query_range", q=q, start=start, end=end, step="10s")
    for series in json.loads(body)["series"]:
        failed = series["labels"][0]["value"]["stringValue"] == "error"
        for sample in series["samples"]:
            edge = int(sample["timestampMs"]) // 1000
            errors, count = traffic.rate(max(start, edge - 10), min(end, edge)) if edge > start else (0, 0)
            assert sample.get("value", 0) == (errors if failed else count - errors)


@pytest.mark.parametrize(
    "text",
    [
        "{ nope }",
        "{ status = maybe }",
        "{ status = error } | rate_over_time()",
        "{ span.x = 1 ",
        "{ duration > }",
        "{} | quantile_over_time(duration, .5)",
    ],
)
def test_what_is_not_understood_is_an_error(text):
    with pytest.raises(traceql.NotUnderstood):
        traceql.parse(text)
