local function card(t, fields)
  local body, text = t.formatter("teams.lua"):format(t.alert(fields))
  return body.attachments[1].content, text, body
end

local function trace(i)
  return { trace_id = ("%032x"):format(i), url = ("https://grafana/trace/%032x"):format(i) }
end

test("a message carries one adaptive card with title, summary, facts and links", function(t)
  local content, _, body = card(t, { value = 2412.5, traces = { trace(1) } })
  t.equal({ body.type, #body.attachments, body.attachments[1].contentType },
    { "message", 1, "application/vnd.microsoft.card.adaptive" })
  t.equal({ content.type, content.version, content["$schema"] },
    { "AdaptiveCard", "1.4", "http://adaptivecards.io/schemas/adaptive-card.json" })
  t.equal({ content.body[1].style, content.body[1].items[1].text }, { "warning", "high_latency: checkout POST /pay" })
  t.equal(content.body[2].text, "1 trace of checkout POST /pay took longer than 1000 ms")
  t.contains(content.body[3].facts, { title = "Value", value = "2412.5" })
  t.equal(content.actions, { { type = "Action.OpenUrl", title = "Trace 00000000", url = trace(1).url } })
end)

test("what is over is good, and has no empty list of actions", function(t)
  local content = card(t, { status = "resolved", severity = "critical" })
  t.equal({ content.body[1].style, content.body[1].items[1].text, content.actions },
    { "good", "RESOLVED high_latency: checkout POST /pay", nil })
end)

test("an alert's text makes no links", function(t)
  t.equal(card(t, { summary = "[pay](https://evil)" }).body[2].text, "[pay] (https://evil)")
end)

test("no message is larger than 28 KB, whatever the alert holds", function(t)
  local traces = {}
  for i = 1, 100 do
    traces[i] = trace(i)
  end
  for _, char in ipairs { "a", "\u{1f525}", "\1", '"' } do
    local long = char:rep(9000)
    local _, text = card(t, { summary = long, operation = long, service = long, error_message = long, traces = traces })
    t.truthy(#text <= 28 * 1024, "it has " .. #text)
  end
end)

test("a group is one card with a paragraph for each alert", function(t)
  local teams = t.formatter("teams.lua")
  local content = teams:format(t.group({ t.alert { traces = { trace(1) } }, t.alert { status = "resolved", summary = "over" } }, {
    group_labels = { service = "checkout" }, truncated_alerts = 2,
  })).attachments[1].content
  t.equal({ content.body[1].items[1].text, content.actions }, { "3 firing, 1 resolved: service=checkout", nil })
  t.equal({ content.body[4].text, content.body[5].text, content.body[6].text }, {
    ("[high_latency: checkout POST /pay](%s) 1 trace of checkout POST /pay took longer than 1000 ms"):format(trace(1).url),
    "**RESOLVED high_latency: checkout POST /pay** over", "… and 2 more",
  })
  local many, long = {}, ("\u{1f525}"):rep(2500)
  for i = 1, 100 do
    many[i] = t.alert { summary = long, operation = long, traces = { trace(i) } }
  end
  local _, text = teams:format(t.group(many, { group_labels = { a = long } }))
  t.truthy(#text <= 28 * 1024, "it has " .. #text)
end)
