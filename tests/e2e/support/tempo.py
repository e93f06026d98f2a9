"""A stand-in for Grafana Tempo: answers what Tempo would about traces that the test plants.

Three kinds: "3" (Tempo 3.x: metrics, the newest 30 s hidden), "2" (2.x with local-blocks: metrics, nothing
hidden) and "2-no-metrics". What it cannot understand is recorded in `not_understood` and answered with 400; the
fixture fails the test then.
"""

import base64
import json
import pathlib
import random
import time
import urllib.parse
from collections import defaultdict

from . import traceql
from .misbehave import Server, as_json

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"
NO_ROOT = "<root span not yet received>"
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
EMPTY_RING = "error querying generators in Querier.queryRangeRecent: error finding generators: empty ring\n"


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def text(value):
    return {"stringValue": value}


class View:
    """One span as a filter sees it."""

    def __init__(self, span, trace):
        self.span = span
        self.trace = trace  # visible spans of its trace

    def get(self, name):
        span = self.span
        if name.startswith(("span.", ".")):
            return span.attributes.get(name.removeprefix("span").removeprefix("."))
        if name in ("status", "kind", "name"):
            return getattr(span, name)
        return {
            "resource.service.name": lambda: span.service,
            "duration": lambda: span.duration_ns,
            "span:duration": lambda: span.duration_ns,
            "span:name": lambda: span.name,
            "span:status": lambda: span.status,
            "span:kind": lambda: span.kind,
            "statusMessage": lambda: span.message or None,
            "span:statusMessage": lambda: span.message or None,
            "span:id": lambda: span.id,
            "span:parentID": lambda: span.parent,
            "nestedSetParent": lambda: -1 if span.parent == "" else 1,
            "trace:id": lambda: span.trace_id.lstrip("0"),
            "trace:duration": lambda: trace_duration_ns(self.trace),
            "traceDuration": lambda: trace_duration_ns(self.trace),
            "trace:rootService": lambda: root_of(self.trace)[0],
            "rootServiceName": lambda: root_of(self.trace)[0],
            "trace:rootName": lambda: root_of(self.trace)[1],
            "rootName": lambda: root_of(self.trace)[1],
        }.get(name, lambda: None)()


def trace_duration_ns(spans):
    return max(span.end_ns for span in spans) - min(span.start_ns for span in spans)


def root_of(spans):
    root = next((span for span in spans if span.parent == ""), None)
    return (root.service, root.name) if root else (NO_ROOT, "")


def bucket_s(duration_ns):
    upper = 1
    while upper < duration_ns:
        upper *= 2
    return upper / 1e9


class Tempo(Server):
    def __init__(self, kind="3", tenants=(), prefix="", tls=None, cutoff_s=None, latency_s=0.0, require_header=None):
        self.kind = kind
        self.tenants = tenants  # known tenants; empty: not multi-tenant
        self.prefix = prefix
        self.cutoff_s = (30 if kind == "3" else 0) if cutoff_s is None else cutoff_s
        self.latency_s = latency_s  # of spans: how old they are when they can be seen
        self.require_header = require_header  # (name, value): what a gateway in front would ask for
        self.flicker_s = 0.0  # spans that became visible less than this ago are seen in every other answer only
        self.lost_in_search = set()  # ids of spans that a merge of fragments lost: metrics and by-id know them still
        self.clock_offset_s = 0.0
        self.spans = []  # (visible from, tenant, span)
        self.not_understood = []
        self.replay = None  # name of a recording to answer from
        super().__init__(tls)

    # Time and traces.

    def now(self):
        return time.time() + self.clock_offset_s

    def advance(self, seconds):
        self.clock_offset_s += seconds

    def plant(self, traces, tenant="", visible_from=0.0):
        """Takes a Traffic, or a list of traces (lists of spans)."""
        traces = traces.traces.values() if hasattr(traces, "traces") else traces
        with self.lock:
            for spans in traces:
                for span in spans:
                    self.spans.append((max(visible_from, span.end_ns / 1e9 + self.latency_s), tenant, span))

    def visible(self, tenant):
        now = self.now()
        traces = defaultdict(list)
        with self.lock:
            for visible_from, owner, span in self.spans:
                flickers = visible_from > now - self.flicker_s and random.random() < 0.5
                if visible_from <= now and not flickers and (not self.tenants or owner in tenant.split("|")):
                    traces[span.trace_id].append(span)
        return traces

    def questions(self):
        """Requests for search and metrics, of all kinds."""
        return [request for request in self.seen() if "/api/search" in request.path or "/api/metrics" in request.path]

    # HTTP.

    def answer(self, request):
        try:
            return self.route(request)
        except Refused as refused:
            return refused.status, TEXT, str(refused).encode()
        except traceql.NotUnderstood as error:
            self.not_understood.append(f"{request.path}?{urllib.parse.unquote_plus(request.query)}: {error}")
            return 400, TEXT, f"invalid TraceQL query: {error}".encode()

    def route(self, request):
        if self.prefix and not request.path.startswith(self.prefix + "/"):
            raise Refused(404, "404 page not found\n")
        path = request.path[len(self.prefix) :]
        if self.require_header and request.headers.get(self.require_header[0]) != self.require_header[1]:
            raise Refused(401, "unauthorized")
        if self.replay:
            return self.recorded(path, request)
        if path in ("/ready", "/api/echo"):
            return 200, TEXT, path.rpartition("/")[2].encode() + b"\n"
        if path == "/api/status/buildinfo":
            return 200, {}, as_json({"version": "", "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""})
        tenant = request.headers.get("x-scope-orgid", "")
        if self.tenants and not tenant:
            raise Refused(401, "no org id\n")
        params = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
        handlers = {"/api/search": self.search, "/api/metrics/query_range": self.range_query, "/api/metrics/query": self.instant}
        if path in handlers:
            return 200, {}, as_json(handlers[path](params, self.visible(tenant)))
        for prefix in ("/api/traces/", "/api/v2/traces/"):
            if path.startswith(prefix):
                return self.by_id(path[len(prefix) :], self.visible(tenant), v2="v2" in prefix)
        self.not_understood.append(f"path {path}")
        raise Refused(404, "404 page not found\n")

    def recorded(self, path, request):
        """The recorded answer to the request of the recording that asks the same, or the same path."""
        folder = DATA / self.replay
        index = json.loads((folder / "index.json").read_text())
        query = urllib.parse.unquote_plus(request.query)
        wanted = {
            "/api/search": "search_slow_or_error_select" if "duration >" in query else "search_all_5000",
            "/api/metrics/query_range": "metrics_range_histogram",
            "/api/metrics/query": "metrics_instant_count_by_service_status",
        }.get(path)
        if self.tenants and "x-scope-orgid" not in request.headers and path.startswith("/api/"):
            wanted = "no_tenant"
        answer = next((a for a in index["answers"] if a["name"] == wanted), None)
        answer = answer or next((a for a in index["answers"] if a["target"].partition("?")[0] == path), None)
        if answer is None:
            raise Refused(404, "404 page not found\n")
        return answer["status"], {"Content-Type": answer["content_type"] or "text/plain"}, (folder / answer["file"]).read_bytes()

    # Endpoints.

    def times(self, params, search):
        values = []
        for name in ("start", "end"):
            raw = params.get(name)
            if raw is None or not raw.isdigit():
                raise Refused(400, f'invalid {name}: strconv.ParseUint: parsing "{raw}": invalid syntax')
            value = int(raw)
            values.append(value / 1e9 if not search and len(raw) > 10 else float(value))
        start, end = values
        newest = self.now() - self.cutoff_s
        if end - start > (168 if search else 24) * 3600:
            raise Refused(400, f"range specified by start and end exceeds 168h0m0s. received start={start:.0f} end={end:.0f}")
        if start >= end:
            raise Refused(400, f"http parameter start must be before end. received start={start:.0f} end={end:.0f}")
        if self.cutoff_s and end > newest:
            # The end is moved to 30 s ago; what is left may be nothing.
            if newest <= start:
                raise Refused(400, f"http parameter start must be before end. received start={start:.0f} end={newest:.0f}")
            end = newest
        return start, end

    def search(self, params, traces):
        start, end = self.times(params, search=True)
        limit, spss = int(params.get("limit", 20)), int(params.get("spss", 3))
        if limit > 262144:
            raise Refused(400, f"limit {limit} exceeds max limit 262144")
        if limit > 20000:
            self.not_understood.append(f"limit={limit} would kill a server")
        if spss > 100:
            raise Refused(400, f"spans per span set {spss} exceeds 100")
        unknown = set(params) - {"q", "start", "end", "limit", "spss", "tags", "minDuration", "maxDuration"}
        if unknown or ({"tags", "minDuration", "maxDuration"} & set(params)):
            raise traceql.NotUnderstood(f"parameters {sorted(params)}")
        query = traceql.parse(params.get("q", "{}"))
        if query.function:
            raise Refused(400, "invalid TraceQL query: metrics functions are not searches")
        found = []
        for trace_id, spans in traces.items():
            spans = [span for span in spans if span.id not in self.lost_in_search]
            if not spans:
                continue
            # Tempo finds a trace by overlap, whole seconds.
            if min(s.start_ns for s in spans) / 1e9 > end or max(s.end_ns for s in spans) / 1e9 < start:
                continue
            matched = [span for span in spans if query.test(View(span, spans))]
            if matched and (not query.over or traceql.compare(len(matched), *query.over[1:])):
                found.append((trace_id, spans, matched))
        found.sort(key=lambda item: -min(s.start_ns for s in item[1]))
        if not query.hints.get("most_recent"):
            found.sort(key=lambda item: item[0])  # first found, in no useful order
        named = query.select + [name for name, _, _ in query.compares]
        traces = [self.found(trace_id, spans, matched, named, spss, query.by_span) for trace_id, spans, matched in found[:limit]]
        return {"traces": traces, "metrics": {"inspectedBytes": str(len(found) * 1000), "completedJobs": 1, "totalJobs": 1}}

    def found(self, trace_id, spans, matched, named, spss, by_span):
        service, name = root_of(spans)
        span_sets = []
        for members in [[span] for span in matched] if by_span else [matched]:
            span_set = {"spans": [self.span_json(span, spans, named) for span in members[:spss]], "matched": len(members)}
            if by_span:
                span_set["attributes"] = [{"key": "by(span:id)", "value": text(members[0].id)}]
            span_sets.append(span_set)
        answer = {
            "traceID": trace_id.lstrip("0"),
            "rootServiceName": service,
            "rootTraceName": name,
            "startTimeUnixNano": str(min(span.start_ns for span in spans)),
            "durationMs": trace_duration_ns(spans) // 10**6,
            "spanSet": span_sets[0],
            "spanSets": span_sets,
            "serviceStats": {},
        }
        for key in ("durationMs", "rootTraceName"):
            if not answer[key]:
                del answer[key]
        for span in spans:
            stats = answer["serviceStats"].setdefault(span.service, {"spanCount": 0})
            stats["spanCount"] += 1
            if span.status == "error":
                stats["errorCount"] = stats.get("errorCount", 0) + 1
        return answer

    def span_json(self, span, spans, named):
        answer = {"spanID": span.id, "startTimeUnixNano": str(span.start_ns), "durationNanos": str(span.duration_ns)}
        attributes = []
        for name in dict.fromkeys(named):
            value = View(span, spans).get(name)
            if name in ("name", "span:name"):
                answer["name"] = span.name
            elif name in ("duration", "span:duration", "trace:duration", "traceDuration", "trace:id", "span:id") or value is None:
                continue
            else:
                key = name.removeprefix("resource.").removeprefix("span.").removeprefix("span:")
                attributes.append({"key": key, "value": text(str(value)) if not isinstance(value, int) else {"intValue": str(value)}})
        if attributes:
            answer["attributes"] = attributes
        return answer

    def metric_spans(self, params, traces):
        start, end = self.times(params, search=False)
        if "q" not in params:
            raise Refused(400, "compiling query: parse error : syntax error: unexpected $end")
        query = traceql.parse(params["q"])
        if not query.function:
            raise Refused(400, "compiling query: not a metrics query")
        if self.kind == "2-no-metrics":
            raise Refused(500, EMPTY_RING)
        if len(query.by) > 5 or (query.function == "histogram_over_time" and len(query.by) > 4):
            raise Refused(400, "compiling query: too many group by attributes")
        groups = defaultdict(list)
        for spans in traces.values():
            for span in spans:
                view = View(span, spans)
                if start * 1e9 <= span.start_ns < end * 1e9 and query.test(view):
                    labels = tuple((name, view.get(name)) for name in query.by)
                    if query.function == "histogram_over_time":
                        labels += (("__bucket", bucket_s(span.duration_ns)),)
                    groups[labels].append(span)
        return query, start, end, groups

    @staticmethod
    def labels_json(labels):
        return [{"key": k, "value": {"doubleValue": v} if k == "__bucket" else text("nil" if v is None else str(v))} for k, v in labels]

    @staticmethod
    def value(query, spans):
        if query.function == "max_over_time":
            # Spans that only another arm of the filter chose come without a value.
            limits = [value for name, operator, value in query.compares if name == "duration" and operator in (">", ">=")]
            durations = [span.duration_ns for span in spans if not limits or span.duration_ns > min(limits)]
            return max(durations) / 1e9 if durations else None
        if query.function in ("count_over_time", "histogram_over_time"):
            return len(spans)
        raise traceql.NotUnderstood(f"function {query.function}")

    def instant(self, params, traces):
        query, _, _, groups = self.metric_spans(params, traces)
        series = []
        for labels, spans in sorted(groups.items(), key=str):
            one = {"labels": self.labels_json(labels)}
            value = self.value(query, spans)
            if value:
                one["value"] = value
            series.append(one)
        return {"series": series, "metrics": {"completedJobs": 1, "totalJobs": 1}} if series else {"metrics": {"totalJobs": 1}}

    def range_query(self, params, traces):
        query, start, end, groups = self.metric_spans(params, traces)
        step = params.get("step", "")
        if not step.removesuffix("s").isdigit():
            raise traceql.NotUnderstood(f"step {step!r}")
        step = int(step.removesuffix("s"))
        # A sample's time is the right edge of (time - step, time]; one leading bucket comes first.
        edges = range(int(start // step) * step, int(-(-end // step)) * step + 1, step)
        series = []
        for labels, spans in sorted(groups.items(), key=str):
            by_edge = defaultdict(list)
            for span in spans:
                by_edge[-(-span.start_ns // (step * 10**9)) * step].append(span)
            samples = []
            for edge in edges:
                sample = {"timestampMs": str(edge * 1000)}
                value = self.value(query, by_edge[edge]) if edge in by_edge else None
                if value:
                    sample["value"] = value
                samples.append(sample)
            series.append({"labels": self.labels_json(labels), "samples": samples})
        return {"series": series, "metrics": {"completedJobs": 1, "totalJobs": 1}}

    def by_id(self, trace_id, traces, v2):
        if not trace_id or any(digit not in "0123456789abcdef" for digit in trace_id.lower()):
            raise Refused(400, "trace IDs can only contain hex characters: invalid character 'z' at position 1")
        spans = traces.get(trace_id.lower().rjust(32, "0"), [])
        if not spans:
            return (200, {}, as_json({"trace": {}})) if v2 else (404, TEXT, b"")

        def b64(digits):
            return base64.b64encode(bytes.fromhex(digits)).decode()

        batches = []
        for span in spans:
            one = {
                "traceId": b64(span.trace_id),
                "spanId": b64(span.id),
                "name": span.name,
                "kind": "SPAN_KIND_" + span.kind.upper(),
                "startTimeUnixNano": str(span.start_ns),
                "endTimeUnixNano": str(span.end_ns),
                "attributes": [{"key": key, "value": text(value)} for key, value in span.attributes.items()],
                "status": {},
            }
            if span.parent:
                one["parentSpanId"] = b64(span.parent)
            if span.status != "unset":
                one["status"] = {"code": "STATUS_CODE_" + span.status.upper(), **({"message": span.message} if span.message else {})}
            batches.append(
                {
                    "resource": {"attributes": [{"key": "service.name", "value": text(span.service)}]},
                    "scopeSpans": [{"scope": {"name": "gen"}, "spans": [one]}],
                }
            )
        return 200, {}, as_json({"trace": {"resourceSpans": batches}} if v2 else {"batches": batches})
