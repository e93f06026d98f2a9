"""Traces whose slow and failing ones are known, and what an agent must say about them."""

import random
from dataclasses import dataclass, field

ENTRY_KINDS = ("server", "consumer")


@dataclass
class Span:
    trace_id: str
    id: str
    parent: str  # "" for the root
    service: str
    name: str
    kind: str
    start_ns: int
    duration_ns: int
    status: str = "unset"
    message: str = ""
    attributes: dict = field(default_factory=dict)

    @property
    def end_ns(self):
        return self.start_ns + self.duration_ns

    @property
    def is_entry(self):
        return self.kind in ENTRY_KINDS or self.parent == ""


class Traffic:
    """Makes traces; the same seed makes the same ones."""

    OPERATIONS = [
        ("frontend", "GET /"),
        ("frontend", "POST /checkout"),
        ("catalog", "ListProducts"),
        ("payment", "Charge"),
        ("mail", "order.created"),
    ]

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.traces = {}  # id -> [Span]

    def id(self, digits):
        # Now and then leading zeros, which Tempo drops from trace ids.
        value = self.random.getrandbits(digits * 4) or 1
        if self.random.random() < 0.2:
            value >>= self.random.choice([4, 8, 12, 20])
        return f"{value or 1:0{digits}x}"

    def trace(self, start_s, duration_ms=20, error="", service=None, operation=None, failing="root", children=1, trace_id=None):
        """One trace. `error`: message of the span that `failing` says ("root" or "child"); empty: none fails."""
        if service is None:
            service, operation = self.random.choice(self.OPERATIONS)
        trace_id = trace_id or self.id(32)
        start_ns, duration_ns = round(start_s * 1e9), round(duration_ms * 1e6)
        kind = "consumer" if service == "mail" else "server"
        root = Span(trace_id, self.id(16), "", service, operation, kind, start_ns, duration_ns)
        spans = [root]
        for _ in range(children):
            spans.append(
                Span(trace_id, self.id(16), root.id, service, "SELECT", "client", start_ns + duration_ns // 4, duration_ns // 2,
                     attributes={"db.system": "postgresql"})
            )  # fmt: skip
        if error:
            span = root if failing == "root" else spans[-1]
            span.status, span.message = "error", error
        self.traces[trace_id] = spans
        return spans

    def mixed(self, n, from_s, to_s, slow=0.05, failed=0.05, slow_ms=(1100, 4000)):
        """n traces spread over [from_s, to_s): some slow, some failing, some both."""
        made = []
        for _ in range(n):
            is_slow = self.random.random() < slow
            is_failed = self.random.random() < failed
            made.append(
                self.trace(
                    self.random.uniform(from_s, to_s),
                    duration_ms=self.random.uniform(*slow_ms) if is_slow else self.random.uniform(2, 400),
                    error=self.random.choice(["card declined", "deadline exceeded"]) if is_failed else "",
                    failing=self.random.choice(["root", "root", "child"]),
                )
            )
        return made

    # The truth.

    def slow(self, threshold_ms=1000):
        limit = threshold_ms * 1e6
        return {id for id, spans in self.traces.items() if any(span.duration_ns > limit for span in spans)}

    def failed(self):
        return {id for id, spans in self.traces.items() if any(span.status == "error" for span in spans)}

    def rate(self, from_s, to_s, service=None):
        """(errors, requests) of entry spans that started in [from_s, to_s)."""
        entries = [
            span
            for spans in self.traces.values()
            for span in spans
            if span.is_entry and from_s * 1e9 <= span.start_ns < to_s * 1e9 and service in (None, span.service)
        ]
        return sum(span.status == "error" for span in entries), len(entries)
