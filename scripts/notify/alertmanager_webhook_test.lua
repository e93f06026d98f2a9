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
