local function embed(t, fields)
  return t.formatter("discord.lua"):format(t.alert(fields)).embeds[1]
end

test("an embed has title, summary, facts and links", function(t)
  local one = embed(t, { value = 2412.5, traces = { { trace_id = "abc", url = "https://g/abc", duration_ms = 12 } } })
  t.equal({ one.title, one.color }, { "high_latency: checkout POST /pay", 0xe8a33d })
  t.equal(one.description, "1 trace of checkout POST /pay took longer than 1000 ms\n\n[abc](https://g/abc) 12 ms")
  t.contains(one.fields, { name = "Value", value = "2412.5", inline = true })
  t.truthy(one.timestamp:find("^%d+-%d+-%d+T"))
  t.contains(one.footer.text, "detect ")
end)

test("what is over is green and says when", function(t)
  local one = embed(t, { status = "resolved", ends_at = "2026-01-01T00:00:00Z" })
  t.equal({ one.color, one.timestamp, one.title },
    { 0x2eb67d, "2026-01-01T00:00:00Z", "RESOLVED high_latency: checkout POST /pay" })
end)

test("an embed is within Discord's limits, whatever the alert holds", function(t)
  local traces, long = {}, ("ü*"):rep(5000)
  for i = 1, 100 do
    traces[i] = { trace_id = ("%032x"):format(i), url = "https://g/" .. i, error_message = long }
  end
  local one = embed(t, {
    summary = long, operation = long, service = long, error_message = long, value = 1, threshold = 1, affected_traces = 1,
    ends_at = "2026-01-01T00:00:00Z", traces = traces,
  })
  local sum = utf8.len(one.title) + utf8.len(one.description) + utf8.len(one.footer.text)
  t.truthy(utf8.len(one.title) <= 256 and utf8.len(one.description) <= 4096 and #one.fields <= 25)
  for _, field in ipairs(one.fields) do
    t.truthy(utf8.len(field.name) <= 256 and utf8.len(field.value) <= 1024)
    sum = sum + utf8.len(field.name) + utf8.len(field.value)
  end
  t.truthy(sum <= 6000, "in all " .. sum)
end)

test("a group is one embed with a line for each alert, within the limits", function(t)
  local discord = t.formatter("discord.lua")
  local first = t.alert { traces = { { trace_id = "abc", url = "https://g/abc" } } }
  local one = discord:format(t.group({ first, t.alert { status = "resolved", summary = "over" } }, {
    group_labels = { service = "checkout" }, group_key = '{service="checkout"}',
  })).embeds[1]
  t.equal({ one.title, one.footer.text }, { "1 firing, 1 resolved: service=checkout", '{service="checkout"}' })
  t.contains(one.description, "\n\n[high_latency: checkout POST /pay](https://g/abc) 1 trace of")
  t.contains(one.description, "\n**RESOLVED high_latency: checkout POST /pay** over")
  local many, long = {}, ("ü*"):rep(1000)
  for i = 1, 300 do
    many[i] = t.alert { summary = long, operation = long }
  end
  one = discord:format(t.group(many, { group_labels = { a = long }, group_key = long })).embeds[1]
  local sum = utf8.len(one.title) + utf8.len(one.description) + utf8.len(one.footer.text)
  for _, field in ipairs(one.fields) do
    sum = sum + utf8.len(field.name) + utf8.len(field.value)
  end
  t.truthy(sum <= 6000, "in all " .. sum)
end)
