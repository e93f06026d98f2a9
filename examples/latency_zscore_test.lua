local function window_with(t, latency_ms, count, operation)
  t.advance(30)
  return t.window {
    series = {
      t.series {
        service = "checkout",
        operation = operation or "POST /pay",
        count = count or 100,
        -- A narrow bucket: the quantile is its upper edge, give or take a millisecond.
        buckets = { { latency_ms - 1, latency_ms, count or 100 } },
      },
    },
  }
end

local function warmed(t, config)
  local d = t.detector("latency_zscore.lua", config)
  for i = 1, 20 do
    t.equal(d:check(window_with(t, 100 + (i % 3) * 4)), {}, "learning, window " .. i)
  end
  return d
end

test("latency far above the usual is found, and says what is usual", function(t)
  local d = warmed(t)
  local findings = d:check(window_with(t, 400))
  t.equal(#findings, 1)
  local finding = t.finding(findings, { type = "unusual_latency", service = "checkout", operation = "POST /pay" })
  t.equal(finding.baseline_samples, 20)
  t.near(finding.value, 400, 1)
  t.near(finding.baseline, 104, 1)
  t.near(finding.threshold, finding.baseline * 1.4, 0.1, "four deviations, each the least that is assumed: a tenth")
  t.near(finding.duration_ms, 400, 1)
  t.contains(finding.summary, "usually 104 ms")
end)

test("ordinary noise is not found", function(t)
  local d = warmed(t)
  for i = 1, 50 do
    t.equal(d:check(window_with(t, 100 + (i % 5) * 5)), {})
  end
end)

test("nothing is said before the warm-up is over", function(t)
  local d = t.detector("latency_zscore.lua", { warm_up = 3 })
  for _ = 1, 3 do
    t.equal(d:check(window_with(t, 100)), {})
  end
  t.equal(#d:check(window_with(t, 900)), 1)
end)

test("it does not learn from what it reports, and gives in when that stays", function(t)
  local d = warmed(t, { give_in_after = 10 })
  for i = 1, 10 do
    t.equal(#d:check(window_with(t, 400)), 1, "window " .. i)
  end
  d:check(window_with(t, 400))
  for _ = 1, 25 do
    t.equal(d:check(window_with(t, 400)), {}, "the new latency is the usual one")
  end
  t.equal(#d:check(window_with(t, 1600)), 1)
end)

test("windows with few requests neither teach nor alarm", function(t)
  local d = warmed(t)
  t.equal(d:check(window_with(t, 4000, 19)), {})
  t.equal(#d:check(window_with(t, 4000, 20)), 1)
end)

test("an incomplete window is not judged", function(t)
  local d = warmed(t)
  local window = window_with(t, 4000)
  window.complete, window.reason = false, "counts: timeout"
  local findings, reason = d:check(window)
  t.equal(findings, nil)
  t.contains(reason, "timeout")
end)

test("what it learned outlives a reload", function(t)
  local d = warmed(t)
  d:reload()
  t.equal(#d:check(window_with(t, 400)), 1)
end)

test("the number of operations that it remembers is bounded", function(t)
  local d = t.detector("latency_zscore.lua", { max_operations = 10 })
  for i = 1, 50 do
    d:check(window_with(t, 100, 100, "GET /" .. i))
  end
  local n = 0
  for _ in pairs(d.state.baselines) do
    n = n + 1
  end
  t.equal(n, 10)
end)
