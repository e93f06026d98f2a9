-- The limits are those of https://docs.opsgenie.com/docs/alert-api#create-alert
test("an alert that fires is created, with the fingerprint as alias", function(t)
  local alert = t.alert {
    severity = "critical", value = 3, labels = { region = "eu" },
    traces = { { trace_id = "abc", url = "https://g/abc", duration_ms = 2412 } },
  }
  local body, _, path = t.formatter("opsgenie.lua"):format(alert, { responders = { { name = "ops", type = "team" } } })
  t.equal(path, nil)
  t.equal({ body.message, body.alias, body.priority }, { "high_latency: checkout POST /pay", alert.fingerprint, "P1" })
  t.equal({ body.entity, body.source }, { "checkout", "spanwatch detect" })
  t.equal({ body.tags, body.responders }, { { "high_latency", "critical" }, { { name = "ops", type = "team" } } })
  t.contains(body.description, alert.summary)
  t.contains(body.description, "https://g/abc 2412 ms")
  t.equal({ body.details.Value, body.details["label region"] }, { "3", "eu" })
end)

test("the worst trace comes first, and those without a mark last", function(t)
  local body = t.formatter("opsgenie.lua"):format(t.alert {
    traces = {
      { trace_id = "a", url = "https://g/a", duration_ms = 1, marks = {} },
      { trace_id = "b", url = "https://g/b", duration_ms = 2, marks = { "newest" } },
      { trace_id = "c", url = "https://g/c", duration_ms = 3, marks = { "worst" } },
    },
  })
  t.contains(body.description, "https://g/c 3 ms, worst\nhttps://g/b 2 ms, newest\nhttps://g/a 1 ms")
end)

test("what is over is closed by its alias, at another address", function(t)
  local alert = t.alert { status = "resolved" }
  local body, _, path = t.formatter("opsgenie.lua"):format(alert)
  t.equal(path, "/" .. alert.fingerprint .. "/close?identifierType=alias")
  t.equal(body, { source = "spanwatch detect", note = "over: " .. alert.summary })
end)

test("priorities and tags are settings", function(t)
  local body = t.formatter("opsgenie.lua"):format(t.alert(), { priorities = { warning = "P2" }, tags = { "traces" } })
  t.equal({ body.priority, body.tags }, { "P2", { "traces" } })
end)

test("a group is one alert, which is closed with its last", function(t)
  local opsgenie, groups = t.formatter("opsgenie.lua"), { group_key = '{}:{"service":"ä b"}', group_labels = { service = "ä b" } }
  local body, _, path = opsgenie:format(t.group({ t.alert { severity = "critical" }, t.alert { status = "resolved" } }, groups))
  t.equal({ body.alias, body.priority, path }, { 'group {}:{"service":"ä b"}', "P1" })
  t.contains(body.description, "\nRESOLVED high_latency: checkout POST /pay: ")
  _, _, path = opsgenie:format(t.group({ t.alert { status = "resolved" } }, groups))
  t.equal(path, "/group%20%7B%7D%3A%7B%22service%22%3A%22%C3%A4%20b%22%7D/close?identifierType=alias")
end)

test("texts are within Opsgenie's limits, and long aliases stay different", function(t)
  local opsgenie = t.formatter("opsgenie.lua")
  local labels = {}
  for i = 1, 60 do
    labels["label" .. i] = ("x"):rep(900)
  end
  local body = opsgenie:format(t.alert {
    operation = ("ö"):rep(300), summary = ("ä"):rep(20000), service = ("s"):rep(600), labels = labels, detector = ("d"):rep(300),
  }, { tags = { ("t"):rep(80) } })
  t.equal({ utf8.len(body.message), utf8.len(body.entity), utf8.len(body.source), utf8.len(body.tags[1]) }, { 130, 512, 100, 50 })
  t.truthy(utf8.len(body.description) <= 15000)
  local size = 0
  for name, value in pairs(body.details) do
    size = size + #name + #value
  end
  t.truthy(size <= 8000)
  local function alias(last)
    return opsgenie:format(t.group({ t.alert() }, { group_key = ("ü"):rep(600) .. last })).alias
  end
  t.truthy(utf8.len(alias("a")) <= 512)
  t.truthy(alias("a") ~= alias("b"))
end)
