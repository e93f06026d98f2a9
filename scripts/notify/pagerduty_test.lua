local key = { secret = "R0UTINGKEY" }

test("an alert that fires triggers, with the fingerprint as key", function(t)
  local alert = t.alert {
    severity = "critical", value = 3, labels = { region = "eu" }, traces = { { trace_id = "abc", url = "https://g/abc" } },
  }
  local body = t.formatter("pagerduty.lua"):format(alert, key)
  t.equal({ body.routing_key, body.event_action, body.dedup_key }, { "R0UTINGKEY", "trigger", alert.fingerprint })
  local payload = body.payload
  t.equal(payload.summary, "high_latency: checkout POST /pay: " .. alert.summary)
  t.equal({ payload.source, payload.severity, payload.timestamp, payload.component, payload.group, payload.class },
    { "checkout", "critical", alert.starts_at, "checkout", "detect", "high_latency" })
  t.equal({ payload.custom_details.Value, payload.custom_details["label region"] }, { "3", "eu" })
  t.equal(body.links, { { href = "https://g/abc", text = "trace abc" } })
end)

test("an alert that is over resolves the same key", function(t)
  local alert = t.alert { status = "resolved" }
  local body = t.formatter("pagerduty.lua"):format(alert, key)
  t.equal({ body.event_action, body.dedup_key, body.links }, { "resolve", alert.fingerprint, nil })
end)

test("an alert about the agent itself has a source too", function(t)
  t.equal(t.formatter("pagerduty.lua"):format(t.alert { service = "", source = "spanwatch" }, key).payload.source, "spanwatch")
end)

test("the summary is cut at 1024 characters", function(t)
  local summary = t.formatter("pagerduty.lua"):format(t.alert { summary = ("ä"):rep(3000) }, key).payload.summary
  t.equal(utf8.len(summary), 1024)
end)

test("without a routing key it says which setting is missing", function(t)
  t.raises(function()
    t.formatter("pagerduty.lua"):format(t.alert())
  end, "SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE")
end)

test("a group is one incident, whose key is the group", function(t)
  local pagerduty = t.formatter("pagerduty.lua")
  local group = t.group({ t.alert { severity = "critical" }, t.alert { status = "resolved", summary = "over" } }, {
    group_labels = { service = "checkout" }, group_key = 'route:{service="checkout"}',
  })
  local body = pagerduty:format(group, key)
  t.equal({ body.event_action, body.dedup_key, body.payload.severity },
    { "trigger", 'group route:{service="checkout"}', "critical" })
  t.contains(body.payload.summary, "1 firing, 1 resolved: service=checkout: 2 alerts")
  t.contains(body.payload.custom_details.Alerts, "\nRESOLVED high_latency: checkout POST /pay: over")
  local over = t.alert { status = "resolved" }
  t.equal(pagerduty:format(t.group { over }, key).event_action, "resolve")
  t.equal(pagerduty:format(t.group({ over }, { group_firing = 1 }), key).event_action, "trigger")
end)

test("groups with long names are different incidents", function(t)
  local function dedup(last)
    return t.formatter("pagerduty.lua"):format(t.group({ t.alert() }, { group_key = ("ü"):rep(400) .. last }), key).dedup_key
  end
  t.truthy(utf8.len(dedup("a")) <= 255)
  t.truthy(dedup("a") ~= dedup("b"))
  t.equal(dedup("a"), dedup("a"))
end)
