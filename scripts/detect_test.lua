local function ids(findings, type)
  local list = {}
  for _, finding in ipairs(findings) do
    if finding.type == type then
      list[#list + 1] = finding.trace and finding.trace.id or finding.traces[1].id
    end
  end
  return list
end

test("only traces over the threshold are slow, and one exactly at it is not", function(t)
  local d = t.detector("detect.lua", { latency_threshold_ms = 500 })
  local slow = t.trace { service = "checkout", operation = "POST /pay", duration_ms = 500.5 }
  local findings = d:check(t.window { traces = { slow, t.trace { duration_ms = 500 }, t.trace { duration_ms = 3 } } })
  t.equal(#findings, 1)
  local finding = t.finding(findings, { type = "high_latency", service = "checkout", operation = "POST /pay", threshold = 500 })
  t.near(finding.value, 500.5)
  t.near(finding.duration_ms, 500.5)
  t.equal(ids(findings, "high_latency"), { slow.id })
end)

test("a failed trace is reported with its message, however fast it was", function(t)
  local d = t.detector("detect.lua")
  local failed = t.trace { status = "error", error_message = "card declined", duration_ms = 2 }
  local findings = d:check(t.window { traces = { failed, t.trace { status = "ok" }, t.trace() } })
  t.equal(#findings, 1)
  t.finding(findings, { type = "error_status", error_message = "card declined", duration_ms = 2 })
  t.equal(ids(findings, "error_status"), { failed.id })
end)

test("a trace that is slow and failed is reported under both rules", function(t)
  local d = t.detector("detect.lua")
  local findings = d:check(t.window { traces = { t.trace { status = "error", duration_ms = 1001 } } })
  t.equal(#findings, 2)
  t.finding(findings, { type = "high_latency" })
  t.finding(findings, { type = "error_status" })
end)

test("the error rate is the share of all operations of a service, and of all services", function(t)
  local d = t.detector("detect.lua", { error_rate_threshold = 0.1, min_requests = 20 })
  local findings = d:check(t.window {
    series = {
      t.series { service = "checkout", operation = "a", count = 30, errors = 9 },
      t.series { service = "checkout", operation = "b", count = 10, errors = 1 },
      t.series { service = "catalog", operation = "c", count = 40, errors = 4 },
    },
  })
  t.equal(#findings, 2, "catalog is at the threshold, not over it")
  local checkout = t.finding(findings, { service = "checkout" })
  t.near(checkout.value, 0.25)
  t.equal({ checkout.type, checkout.affected_traces, checkout.total_traces, checkout.severity },
    { "high_error_rate", 10, 40, "critical" })
  local all = findings[1].service and findings[2] or findings[1]
  t.equal(all.service, nil)
  t.near(all.value, 14 / 80)
  t.equal({ all.affected_traces, all.total_traces }, { 14, 80 })
  t.contains(all.summary, "all services: 17.5 % of requests failed (14 of 80)")
end)

test("one failure of few requests pages nobody", function(t)
  local d = t.detector("detect.lua", { min_requests = 20 })
  t.equal(d:check(t.window { series = { t.series { count = 19, errors = 19 } } }), {})
  t.equal(#d:check(t.window { series = { t.series { count = 20, errors = 20 } } }), 2)
end)

test("nothing is said about rates when the counts are missing, and traces are still reported", function(t)
  local d = t.detector("detect.lua")
  local findings = d:check(t.window {
    complete = false,
    reason = "counts: timeout",
    traces = { t.trace { duration_ms = 2000 } },
  })
  t.equal(#findings, 1)
  t.finding(findings, { type = "high_latency" })
end)

test("an empty window gives no findings", function(t)
  t.equal(t.detector("detect.lua"):check(t.window()), {})
end)

test("it says which condition decided, also where nothing is wrong", function(t)
  local d = t.detector("detect.lua", { latency_threshold_ms = 500, min_requests = 20 })
  d:check(t.window {
    traces = { t.trace { duration_ms = 500.5 }, t.trace { duration_ms = 420, status = "error" } },
    series = { t.series { service = "shop", count = 100, errors = 5 }, t.series { service = "mail", count = 19, errors = 19 } },
  })
  t.equal(d.explained, {
    "high_latency: duration 500.5 ms > latency_threshold_ms 500",
    "no error_status: status is unset",
    "no high_latency: duration 420 ms <= latency_threshold_ms 500",
    "error_status: status is error",
    "no high_error_rate of shop: 5 of 100 requests failed, 0.05 <= error_rate_threshold 0.05",
    "no high_error_rate of mail: 19 requests < min_requests 20",
    "high_error_rate of all services: 24 of 119 requests failed, 0.2017 > error_rate_threshold 0.05",
  })
end)
