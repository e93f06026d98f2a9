#!/usr/bin/env python3
"""Sends traces to an OTLP/HTTP receiver: most are quick and good, some are slow, some fail. Prints the ids of those.

    examples/compose/send_traces.py [--url http://127.0.0.1:4318] [--traces 200] [--slow 0.05] [--failing 0.1]
"""

import argparse
import json
import random
import secrets
import time
import urllib.request

OPERATIONS = [("shop", "GET /cart"), ("shop", "POST /checkout"), ("catalog", "ListProducts"), ("payment", "Charge")]


def attribute(key, value):
    return {"key": key, "value": {"stringValue": value}}


def span(trace_id, parent, name, kind, start_ns, duration_ns, failed):
    made = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "parentSpanId": parent,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + duration_ns),
    }
    if failed:
        made["status"] = {"code": 2, "message": "card declined"}
    return made


def trace(end_s, duration_ms, failed):
    """(trace id, OTLP resource spans): a server span with a database span below it."""
    service, operation = random.choice(OPERATIONS)
    trace_id = secrets.token_hex(16)
    duration_ns = int(duration_ms * 1e6)
    start_ns = int(end_s * 1e9) - duration_ns
    root = span(trace_id, "", operation, 2, start_ns, duration_ns, failed)
    child = span(trace_id, root["spanId"], "SELECT", 3, start_ns + duration_ns // 4, duration_ns // 2, False)
    child["attributes"] = [attribute("db.system", "postgresql")]
    return trace_id, {
        "resource": {"attributes": [attribute("service.name", service)]},
        "scopeSpans": [{"scope": {"name": "send_traces"}, "spans": [root, child]}],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:4318")
    parser.add_argument("--traces", type=int, default=200)
    parser.add_argument("--slow", type=float, default=0.05, help="share of slow traces")
    parser.add_argument("--failing", type=float, default=0.1, help="share of failing traces")
    options = parser.parse_args()
    batch = []
    for _ in range(options.traces):
        slow, failed = random.random() < options.slow, random.random() < options.failing
        # Ended within the last seconds: Tempo does not count spans that come much later than they began.
        trace_id, spans = trace(time.time() - random.uniform(0, 5), random.uniform(1200, 3000) if slow else random.uniform(5, 300), failed)
        batch.append(spans)
        if slow or failed:
            print(trace_id, " ".join(word for word, is_so in (("slow", slow), ("failed", failed)) if is_so))
    request = urllib.request.Request(
        f"{options.url}/v1/traces", json.dumps({"resourceSpans": batch}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
    print(f"sent {options.traces} traces to {options.url}")


if __name__ == "__main__":
    main()
