local function filled(t, template, fields, resolved)
  return (t.formatter("template.lua"):format(t.alert(fields), { template = template, resolved = resolved }))
end

test("fields are filled in, at any depth", function(t)
  t.equal(filled(t, { text = "{status}: {summary}", list = { { service = "{service}" }, 7, true } }, { summary = 'a "b"' }),
    { text = 'firing: a "b"', list = { { service = "checkout" }, 7, true } })
end)

test("a text that is one field keeps its type, and is left out when there is none", function(t)
  local template = { value = "{value}", text = "{value} ms", labels = "{labels}", none = "{threshold}", nothing = "{threshold}!" }
  local body = filled(t, template, { value = 2.5, labels = { a = "b" } })
  t.equal(body, { value = 2.5, text = "2.5 ms", labels = { a = "b" }, nothing = "!" })
end)

test("paths reach labels with dots in their names, and traces", function(t)
  local template = {
    a = "{labels.env}", b = "{labels.k8s.pod}", c = "{traces.1.trace_id}", d = "{labels.no.no}", e = "{summary.x}",
  }
  local fields = { labels = { env = "prod", ["k8s.pod"] = "p1" }, traces = { { trace_id = "abc" } } }
  t.equal(filled(t, template, fields), { a = "prod", b = "p1", c = "abc" })
end)

test("what is filled in is not filled in again, and other braces stay", function(t)
  t.equal(filled(t, { text = "{summary} {not this} {}" }, { summary = "{service}" }).text, "{service} {not this} {}")
end)

test("what is over has a template of its own, if there is one", function(t)
  local resolved = { status = "resolved" }
  t.equal(filled(t, { text = "{status}" }, resolved), { text = "resolved" })
  t.equal(filled(t, { text = "{status}" }, resolved, { over = true }), { over = true })
end)

test("without a template it says where it belongs", function(t)
  t.raises(function()
    filled(t, nil)
  end, 'detector_config["notify/template"].template')
end)

test("a group's alerts are reached by number, or as a whole", function(t)
  local group = t.group({ t.alert { summary = "one" }, t.alert { summary = "two" } }, { group_labels = { service = "shop" } })
  local template = { text = "{firing_alerts} of {group_labels.service}: {alerts.2.summary}", all = "{alerts}" }
  local body = t.formatter("template.lua"):format(group, { template = template })
  t.equal({ body.text, #body.all, body.all[1].summary }, { "2 of shop: two", 2, "one" })
end)
