local function window_with(t, errors, service)
  t.advance(30)
  return t.window {
    series = {
      t.series { service = service or "checkout", operation = "a", count = 400, errors = errors // 2 },
      t.series { service = service or "checkout", operation = "b", count = 600, errors = errors - errors // 2 },
    },
  }
end

test("a burst over three times the average is found", function(t)
  local d = t.detector("moving_average.lua")
  for _ = 1, 10 do
    t.equal(d:check(window_with(t, 4)), {})
  end
  t.equal(d:check(window_with(t, 11)), {}, "not three times as many")
  local findings = d:check(window_with(t, 40))
  t.equal(#findings, 1)
  t.finding(findings, { type = "error_burst", service = "checkout", value = 40, affected_traces = 40, total_traces = 1000,
    baseline_samples = 11 })
  t.near(findings[1].baseline, (10 * 4 + 11) / 11)
  t.near(findings[1].threshold, 3 * findings[1].baseline)
end)

test("a few failures after none are no burst", function(t)
  local d = t.detector("moving_average.lua", { min_errors = 5 })
  for _ = 1, 10 do
    d:check(window_with(t, 0))
  end
  t.equal(d:check(window_with(t, 4)), {})
  t.equal(#d:check(window_with(t, 5)), 1)
end)

test("nothing is said while there is no average", function(t)
  local d = t.detector("moving_average.lua", { warm_up = 5 })
  for _ = 1, 5 do
    t.equal(d:check(window_with(t, 100)), {})
  end
  t.equal(#d:check(window_with(t, 1000)), 1)
end)

test("the average is over the last windows only, and sinks while a service is silent", function(t)
  local d = t.detector("moving_average.lua", { windows = 5 })
  for _ = 1, 10 do
    d:check(window_with(t, 100))
  end
  t.equal(d.state.services.checkout.values, { 100, 100, 100, 100, 100 })
  t.advance(30)
  d:check(t.window())
  t.equal(d.state.services.checkout.values, { 100, 100, 100, 100, 0 })
end)

test("an incomplete window is not judged and teaches nothing", function(t)
  local d = t.detector("moving_average.lua")
  d:check(window_with(t, 3))
  local window = window_with(t, 0)
  window.complete, window.reason = false, "counts: http_500"
  local findings, reason = d:check(window)
  t.equal(findings, nil)
  t.contains(reason, "http_500")
  t.equal(d.state.services.checkout.values, { 3 })
end)

test("the number of services that it remembers is bounded", function(t)
  local d = t.detector("moving_average.lua", { max_services = 3 })
  for i = 1, 9 do
    d:check(window_with(t, 1, "service-" .. i))
  end
  local names = {}
  for name in pairs(d.state.services) do
    names[#names + 1] = name
  end
  table.sort(names)
  t.equal(names, { "service-7", "service-8", "service-9" })
end)
