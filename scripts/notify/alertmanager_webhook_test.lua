test("a body has every field of version 4", function(t)
  local formatter = t.formatter("alertmanager_webhook.lua")
  t.equal(formatter.content_type, "application/json")
  local alert = t.alert {
    value = 2412.5, trace_id = "abc", labels = { region = "eu" }, traces = { { trace_id = "abc", url = "https://g/abc" } },
  }
  local body = formatter:format(alert, { receiver = "team", external_url = "http://spanwatch:9476" })
  local labels = { alertname = "high_latency", severity = "warning", detector = "detect", source = "tempo", service = "checkout",
    operation = "POST /pay", region = "eu" }
  local annotations = { summary = alert.summary, trace_id = "abc", value = "2412.5" }
  t.equal(body, {
    version = "4", groupKey = '{}:{fingerprint="' .. alert.fingerprint .. '"}', truncatedAlerts = 0, status = "firing",
    receiver = "team", groupLabels = { alertname = "high_latency" }, commonLabels = labels, commonAnnotations = annotations,
    externalURL = "http://spanwatch:9476",
    alerts = { { status = "firing", labels = labels, annotations = annotations, startsAt = alert.starts_at,
      endsAt = "0001-01-01T00:00:00Z", generatorURL = "https://g/abc", fingerprint = alert.fingerprint } },
  })
end)

test("labels and annotations are text, and empty ones are left out", function(t)
  local body = t.formatter("alertmanager_webhook.lua"):format(t.alert {
    service = "", operation = "", affected_traces = 3, threshold = 0.05,
  })
  t.equal(body.commonLabels.service, nil)
  t.equal(body.commonLabels.operation, nil)
  t.equal({ body.commonAnnotations.affected_traces, body.commonAnnotations.threshold }, { "3", "0.05" })
  t.equal({ body.receiver, body.externalURL, body.alerts[1].generatorURL }, { "spanwatch", "", "" })
end)

test("what is over says when", function(t)
  local body = t.formatter("alertmanager_webhook.lua"):format(t.alert { status = "resolved", ends_at = "2026-01-01T00:00:00Z" })
  t.equal({ body.status, body.alerts[1].status, body.alerts[1].endsAt }, { "resolved", "resolved", "2026-01-01T00:00:00Z" })
end)

test("a group has all its alerts, and what they have in common", function(t)
  local body = t.formatter("alertmanager_webhook.lua"):format(t.group({
    t.alert { fingerprint = "a", severity = "critical", trace_id = "x" },
    t.alert { fingerprint = "b", status = "resolved", ends_at = "2026-01-01T00:00:00Z", operation = "GET /" },
  }, { group_labels = { service = "checkout" }, group_key = 'route:{service="checkout"}', truncated_alerts = 7 }))
  t.equal({ body.groupKey, body.truncatedAlerts, body.status }, { 'route:{service="checkout"}', 7, "firing" })
  t.equal(body.groupLabels, { service = "checkout" })
  t.equal(body.commonLabels, { alertname = "high_latency", detector = "detect", source = "tempo", service = "checkout" })
  t.equal(body.commonAnnotations, { summary = "1 trace of checkout POST /pay took longer than 1000 ms" })
  local first, second = body.alerts[1], body.alerts[2]
  t.equal({ first.fingerprint, first.labels.severity, first.annotations.trace_id }, { "a", "critical", "x" })
  t.equal({ second.fingerprint, second.status, second.endsAt }, { "b", "resolved", "2026-01-01T00:00:00Z" })
end)
