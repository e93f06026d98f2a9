local function ends_in(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + seconds)
end

test("an alert that fires ends in the future, unless it is sent again", function(t)
  local push = t.formatter("alertmanager_push.lua")
  t.equal(push.content_type, "application/json")
  local alert = t.alert {
    value = 2412.5, trace_id = "abc", severity = "critical",
    labels = { service = "checkout", ["http.method"] = "GET", ["0"] = "x", empty = "" },
    traces = { { trace_id = "abc", url = "https://g/abc" } },
  }
  local before = ends_in(120)
  local list = push:format(alert, { ends_after_secs = 120 })
  t.equal(#list, 1)
  t.equal(list[1].labels,
    { alertname = "high_latency", severity = "critical", service = "checkout", http_method = "GET", _0 = "x" })
  t.equal({ list[1].startsAt, list[1].generatorURL }, { alert.starts_at, "https://g/abc" })
  t.truthy(list[1].endsAt >= before and list[1].endsAt <= ends_in(120))
  local annotations = list[1].annotations
  t.equal({ annotations.summary, annotations.value, annotations.trace_id }, { alert.summary, "2412.5", "abc" })
  t.equal({ annotations.operation, annotations.fingerprint }, { alert.operation, alert.fingerprint })
end)

test("its identity is what stays the same: not what is known beside the labels", function(t)
  local push = t.formatter("alertmanager_push.lua")
  local first = push:format(t.alert { operation = "GET /" })[1]
  local later = push:format(t.alert { operation = "", service = "" })[1]
  t.equal(first.labels, later.labels)
  t.equal({ later.annotations.operation, later.annotations.service }, {})
end)

test("what is over has its end", function(t)
  local list = t.formatter("alertmanager_push.lua"):format(t.alert { status = "resolved", ends_at = "2026-01-01T00:00:00Z" })
  t.equal({ list[1].endsAt, list[1].status }, { "2026-01-01T00:00:00Z" })
end)

test("a group is a list, each with its own end", function(t)
  local list = t.formatter("alertmanager_push.lua"):format(t.group {
    t.alert { fingerprint = "a" }, t.alert { fingerprint = "b", status = "resolved", ends_at = "2026-01-01T00:00:00Z" },
  }, { generator_url = "http://spanwatch/" })
  t.equal(#list, 2)
  t.truthy(list[1].endsAt > ends_in(200))
  t.equal(list[2].endsAt, "2026-01-01T00:00:00Z")
  t.equal(list[1].generatorURL, "http://spanwatch/")
end)
