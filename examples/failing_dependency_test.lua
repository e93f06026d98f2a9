local function failing_trace(t)
  return t.trace {
    service = "shop",
    spans = {
      { id = "1", name = "POST /pay", status = "error" },
      { id = "2", parent_id = "1", service = "payment", name = "Charge", status = "error" },
      { id = "3", parent_id = "2", service = "bank", name = "debit", status = "error" },
      { id = "4", parent_id = "2", service = "ledger", name = "note" },
    },
  }
end

local function window(t)
  return t.window {
    series = {
      t.series { service = "shop", operation = "POST /pay", count = 100, errors = 20 },
      t.series { service = "shop", operation = "GET /", count = 100, errors = 1 },
      t.series { service = "mail", operation = "send", count = 5, errors = 5 },
    },
  }
end

test("the service in which traces fail first is named", function(t)
  local asked = {}
  t.source {
    search = function(options)
      asked[#asked + 1] = options
      return { traces = { t.trace { id = "a" }, t.trace { id = "b" }, t.trace { id = "c" } }, complete = false }
    end,
    trace = function(id)
      if id == "c" then
        return nil, "Tempo has no such trace", "not_found"
      end
      return failing_trace(t)
    end,
  }
  local findings = t.detector("failing_dependency.lua"):check(window(t))
  t.equal(#findings, 1)
  local finding = t.finding(findings, { type = "failing_dependency", service = "shop", operation = "POST /pay", value = 0.2 })
  t.equal(finding.labels, { dependency = "bank" })
  t.equal(finding.summary, "shop POST /pay fails because bank does")
  t.equal(#asked, 1)
  t.equal({ asked[1].service, asked[1].operation, asked[1].status, asked[1].limit }, { "shop", "POST /pay", "error", 3 })
end)

test("a service that fails by itself is no finding", function(t)
  t.source {
    search = { traces = { t.trace() }, complete = true },
    trace = t.trace { spans = { { service = "shop", status = "error" } } },
  }
  t.equal(t.detector("failing_dependency.lua"):check(window(t)), {})
end)

test("a question that fails is said, and no finding is made up", function(t)
  t.source { search = function() return nil, "no answer in time", "timeout" end }
  local d = t.detector("failing_dependency.lua")
  t.equal(d:check(window(t)), {})
  t.equal(d.logs[1].level, "warn")
end)

test("what is not known whole is not judged", function(t)
  local findings, reason = t.detector("failing_dependency.lua"):check(t.window { complete = false, reason = "counts: timeout" })
  t.equal(findings, nil)
  t.equal(reason, "counts: timeout")
end)
