test("each trace with too many queries is one finding", function(t)
  local asked
  t.tempo {
    search = function(options)
      asked = options
      return {
        traces = { t.trace { service = "shop", operation = "GET /cart", matched = 31 }, t.trace { matched = 200 } },
        complete = true,
      }
    end,
  }
  local window = t.window()
  local findings = t.detector("traceql.lua"):check(window)
  t.equal(#findings, 2)
  local finding = t.finding(findings, { type = "n_plus_one_queries", service = "shop", operation = "GET /cart", value = 31 })
  t.equal(finding.summary, "shop GET /cart made 31 database queries")
  t.equal(asked.q, "{ span.db.system != nil } | count() > 30")
  t.equal({ asked.from, asked.to }, { window.from, window.to })
end)

test("the condition is configurable", function(t)
  local asked
  t.tempo { search = function(options)
    asked = options.q
    return { traces = {}, complete = true }
  end }
  t.equal(t.detector("traceql.lua", { attribute = "span.db.system.name", max_queries = 5 }):check(t.window()), {})
  t.equal(asked, "{ span.db.system.name != nil } | count() > 5")
end)

test("a question that fails is unknown, not nothing", function(t)
  t.tempo { search = function() return nil, "no answer within 100 ms", "timeout" end }
  local findings, reason = t.detector("traceql.lua"):check(t.window())
  t.equal(findings, nil)
  t.equal(reason, "the question failed: no answer within 100 ms (timeout)")
end)

test("a list that was cut short says so in the log", function(t)
  t.tempo { search = { traces = { t.trace { matched = 40 } }, complete = false } }
  local d = t.detector("traceql.lua")
  t.equal(#d:check(t.window()), 1)
  t.equal(d.logs[1].level, "warn")
end)
