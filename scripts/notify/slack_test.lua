local function section_texts(body)
  local texts = {}
  for _, block in ipairs(body.attachments[1].blocks) do
    texts[#texts + 1] = block.text and block.text.text
    for _, field in ipairs(block.fields or {}) do
      texts[#texts + 1] = field.text
    end
  end
  return texts
end

local function trace(i)
  return { trace_id = ("%032x"):format(i), duration_ms = 2412.5, url = ("https://grafana/trace/%032x"):format(i) }
end

test("a message has a fallback text, a header, the summary, facts and links to traces", function(t)
  local slack = t.formatter("slack.lua")
  t.equal(slack.content_type, "application/json; charset=utf-8")
  local body = slack:format(t.alert { value = 2412.5, threshold = 1000, traces = { trace(1) } })
  t.equal(body.text, "high_latency: checkout POST /pay: 1 trace of checkout POST /pay took longer than 1000 ms")
  local blocks = body.attachments[1].blocks
  t.equal(blocks[1], { type = "header", text = { type = "plain_text", text = "high_latency: checkout POST /pay" } })
  t.equal(blocks[2].text, { type = "mrkdwn", text = "1 trace of checkout POST /pay took longer than 1000 ms" })
  t.contains(blocks[3].fields, { type = "mrkdwn", text = "*Value*\n2412.5" })
  local id = ("%032x"):format(1)
  t.contains(blocks[4].text.text, ("<https://grafana/trace/%s|%s> 2412.5 ms"):format(id, id))
end)

test("the culprit span is a fact, with what is known of it", function(t)
  local slack = t.formatter("slack.lua")
  local function culprit(fields)
    fields.service, fields.name, fields.self_time_ms = "payment", "charge card", 1904.1
    for _, field in ipairs(slack:format(t.alert { culprit = fields }).attachments[1].blocks[3].fields) do
      if field.text:find("*Culprit*", 1, true) then
        return field.text
      end
    end
  end
  t.equal(culprit {}, "*Culprit*\npayment charge card, 1904.1 ms of its own")
  t.equal(culprit { error_message = "no funds" }, "*Culprit*\npayment charge card, 1904.1 ms of its own, no funds")
  t.equal(culprit { exception_type = "CardDeclined" }, "*Culprit*\npayment charge card, 1904.1 ms of its own, CardDeclined")
  t.equal(culprit { exception_type = "CardDeclined", error_message = "no funds" },
    "*Culprit*\npayment charge card, 1904.1 ms of its own, CardDeclined: no funds")
end)

test("the likely cause is a fact, and with it there are no more than Slack takes", function(t)
  local cause = { fingerprint = "5d0c8e0a9b7f4a21", type = "high_error_rate", service = "payment", summary = "payment fails" }
  local body = t.formatter("slack.lua"):format(t.alert {
    likely_cause = cause, affected_traces = 3, error_message = "declined",
    culprit = { service = "payment", name = "charge card", self_time_ms = 1 },
  })
  local fields, found = body.attachments[1].blocks[3].fields, nil
  for _, field in ipairs(fields) do
    found = field.text:match("^%*Likely cause%*\n(.*)") or found
  end
  t.equal(found, "high_error_rate of payment: payment fails")
  t.equal(#fields <= 10, true)
end)

test("severity and end have colours", function(t)
  local slack = t.formatter("slack.lua")
  local function color(fields)
    return slack:format(t.alert(fields)).attachments[1].color
  end
  t.equal(color { severity = "critical" }, "#d00000")
  t.equal(color { severity = "warning" }, "#e8a33d")
  t.equal(color { severity = "critical", status = "resolved" }, "#2eb67d")
end)

test("what Slack gives a meaning is escaped", function(t)
  local body = t.formatter("slack.lua"):format(t.alert { summary = "<!channel> a & b" })
  t.equal(body.attachments[1].blocks[2].text.text, "&lt;!channel&gt; a &amp; b")
end)

test("no text is longer than Slack takes, whatever the alert holds", function(t)
  local traces = {}
  for i = 1, 100 do
    traces[i] = trace(i)
    traces[i].error_message = ("<ü>"):rep(200)
  end
  local body = t.formatter("slack.lua"):format(t.alert {
    summary = ("<ä"):rep(4000), operation = ("&"):rep(4000), error_message = ("€"):rep(4000), value = 1, threshold = 2,
    affected_traces = 3, ends_at = "2026-01-01T00:00:00Z", traces = traces,
  })
  t.truthy(utf8.len(body.text) <= 4000)
  t.truthy(utf8.len(body.attachments[1].blocks[1].text.text) <= 150)
  for _, text in ipairs(section_texts(body)) do
    t.truthy(utf8.len(text) <= 3000, "section of " .. utf8.len(text))
  end
  for _, field in ipairs(body.attachments[1].blocks[3].fields) do
    t.truthy(utf8.len(field.text) <= 2000)
  end
  t.truthy(#body.attachments[1].blocks[3].fields <= 10)
  t.contains(body.attachments[1].blocks[4].text.text, "more")
end)

test("the traces that say most come first, and say what they are", function(t)
  local traces = { trace(1), trace(2), trace(3) }
  traces[2].marks, traces[3].marks = { "representative" }, { "worst", "newest" }
  local text = t.formatter("slack.lua"):format(t.alert { traces = traces }).attachments[1].blocks[4].text.text
  local third, second = text:find("worst, newest", 1, true), text:find("representative", 1, true)
  local first = text:find(traces[1].trace_id, 1, true)
  t.truthy(third and third < second and second < first, text)
end)

test("an alert about the agent itself, without service and traces, is a message too", function(t)
  local body = t.formatter("slack.lua"):format(t.alert { anomaly_type = "source_unreachable", service = "", operation = "" })
  t.equal(body.attachments[1].blocks[1].text.text, "source_unreachable")
  t.equal(#body.attachments[1].blocks, 3)
end)

test("a group is one message with a line for each alert", function(t)
  local group = t.group({
    t.alert { severity = "critical", traces = { trace(1) } },
    t.alert { status = "resolved", anomaly_type = "error_status", summary = "a <b>" },
  }, { group_labels = { service = "checkout", env = "prod" }, truncated_alerts = 3, group_firing = 9 })
  local body = t.formatter("slack.lua"):format(group)
  local blocks = body.attachments[1].blocks
  t.equal(blocks[1].text.text, "4 firing, 1 resolved: env=prod service=checkout")
  t.equal(body.attachments[1].color, "#d00000")
  t.contains(blocks[3].fields, { type = "mrkdwn", text = "*Firing*\n4" })
  t.contains(blocks[3].fields, { type = "mrkdwn", text = "*Firing in the group*\n9" })
  t.equal(blocks[4].text.text, ("• <https://grafana/trace/%032x|high_latency: checkout POST /pay>\n%s\n"):format(1,
    "1 trace of checkout POST /pay took longer than 1000 ms") ..
    "• *RESOLVED error_status: checkout POST /pay*\na &lt;b&gt;\n… and 3 more")
end)

test("a group of one is the message of that alert", function(t)
  local alert = t.alert { traces = { trace(1) } }
  local slack = t.formatter("slack.lua")
  t.equal(slack:format(t.group { alert }), slack:format(alert))
end)

test("a group is within Slack's limits, however many there are", function(t)
  local alerts, long = {}, ("<ü>"):rep(1000)
  for i = 1, 300 do
    alerts[i] = t.alert { summary = long, operation = long, traces = { trace(i) } }
  end
  local body = t.formatter("slack.lua"):format(t.group(alerts, { group_labels = { service = long }, truncated_alerts = 5 }))
  for _, text in ipairs(section_texts(body)) do
    t.truthy(utf8.len(text) <= 3000, "section of " .. utf8.len(text))
  end
  t.contains(body.attachments[1].blocks[4].text.text, "more")
end)
