"""A webhook receiver that records what it was sent."""

import json

from .misbehave import Server


class Webhook(Server):
    def __init__(self, tls=None):
        self.status = 200
        self.one_by_one = False  # bodies() gives the alerts of groups, not the notifications
        super().__init__(tls)

    def answer(self, request):
        return self.status, {"Content-Type": "text/plain"}, b"thanks"

    @property
    def hook(self):
        return f"{self.url}/hook"

    def accepted(self):
        """Requests that were answered with 2xx, as (idempotency key, body); the same key only once."""
        kept = {}
        for request in self.seen():
            if 200 <= request.status < 300:
                kept.setdefault(request.headers["idempotency-key"], json.loads(request.body))
        return list(kept.items())

    def bodies(self, anomaly_type=None, status=None):
        told = (one for _, body in self.accepted() for one in (body.get("alerts", [body]) if self.one_by_one else [body]))
        return [
            body
            for body in told
            if anomaly_type in (None, body["anomaly_type"]) and status in (None, body["status"])
        ]

    def reported(self, anomaly_type):
        """Trace ids of the evidence of all notifications, as a list: twice means told twice."""
        return [trace["trace_id"] for body in self.bodies(anomaly_type) for trace in body["traces"]]
