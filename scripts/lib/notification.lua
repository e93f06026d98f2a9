-- What formats of notifications share: texts that fit, titles, and facts in the order in which people want them.
local notification = {}

---Cuts a text to `max` characters (not bytes), the last of them "…" when something is missing.
---@param text string
---@param max integer
---@return string
function notification.cut(text, max)
  local length = utf8.len(text)
  if length == nil or length <= max then
    return length and text or text:sub(1, max)
  end
  return text:sub(1, utf8.offset(text, max) - 1) .. "…"
end

---Joins lines with newlines, as many as fit whole into `max` characters; how many are left out is said.
---@param lines string[]
---@param max integer
---@param missing? integer How many more there are, besides these lines.
---@return string
function notification.join(lines, max, missing)
  local kept, length, all = {}, 0, #lines + (missing or 0)
  for i, line in ipairs(lines) do
    local more = all > i and ("… and %d more"):format(all - i) or ""
    local size = utf8.len(line) + 1
    if length + size + #more > max then
      break
    end
    kept[#kept + 1], length = line, length + size
  end
  if all > #kept then
    kept[#kept + 1] = ("… and %d more"):format(all - #kept)
  end
  return table.concat(kept, "\n")
end

---A number as people write it: 2412.3, not 2412.3000000001.
---@param value number
---@return string
function notification.number(value)
  return ("%.6g"):format(value)
end

-- FNV-1a of 32 bits.
local function hash(text)
  local sum = 0x811c9dc5
  for i = 1, #text do
    sum = ((sum ~ text:byte(i)) * 0x01000193) & 0xffffffff
  end
  return ("%08x"):format(sum)
end

---What receivers know it by over its life, in at most `max` characters: the fingerprint, or "group " and the group's key.
---One that is too long ends in a hash, so that no two become the same by being cut.
---@param alert spanwatch.Notification
---@param max integer
---@return string
function notification.identity(alert, max)
  local text = alert.alerts and "group " .. alert.group_key or alert.fingerprint
  local length = utf8.len(text)
  return length and length <= max and text or notification.cut(text, max - 9) .. "#" .. hash(text)
end

---Whether it tells of more than one alert.
---@param alert spanwatch.Notification
---@return boolean
function notification.is_group(alert)
  return alert.alerts ~= nil and #alert.alerts + alert.truncated_alerts > 1
end

---"env=prod service=shop": what the alerts of a group have in common.
---@param alert spanwatch.Notification
---@return string
function notification.group_name(alert)
  local parts = {}
  for name, value in pairs(alert.group_labels or {}) do
    parts[#parts + 1] = name .. "=" .. value
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

local RANKS = { worst = 1, newest = 2, representative = 3 }

---Its traces, the worst, the newest and the representative one first: lists are cut at their end.
---@param alert spanwatch.Notification
---@return spanwatch.NotificationTrace[]
function notification.traces(alert)
  local ordered, places = {}, {}
  for i, trace in ipairs(alert.traces) do
    ordered[i], places[trace] = trace, i
  end
  local function rank(trace)
    return RANKS[trace.marks and trace.marks[1]] or 4
  end
  table.sort(ordered, function(a, b)
    return rank(a) < rank(b) or (rank(a) == rank(b) and places[a] < places[b])
  end)
  return ordered
end

---The address of its worst trace, or of the next one that has an address.
---@param alert spanwatch.Notification
---@return string?
function notification.url(alert)
  for _, trace in ipairs(notification.traces(alert)) do
    if trace.url then
      return trace.url
    end
  end
end

local function group_title(alert)
  local parts = {}
  for _, status in ipairs { "firing", "resolved" } do
    local n = alert[status .. "_alerts"]
    parts[#parts + 1] = n > 0 and ("%d %s"):format(n, status) or nil
  end
  local name = notification.group_name(alert)
  return table.concat(parts, ", ") .. (name ~= "" and ": " .. name or "")
end

---"high_latency: shop POST /checkout", with RESOLVED before it when it is over; of several alerts
---"3 firing, 1 resolved: service=shop".
---@param alert spanwatch.Notification
---@return string
function notification.title(alert)
  if notification.is_group(alert) then
    return group_title(alert)
  end
  local place = {}
  for _, part in ipairs { alert.service or "", alert.operation or "" } do
    place[#place + 1] = part ~= "" and part or nil
  end
  local where = #place > 0 and ": " .. table.concat(place, " ") or ""
  return (alert.status == "resolved" and "RESOLVED " or "") .. alert.anomaly_type .. where
end

---Of a group, a line about each alert; none for a single one.
---@param alert spanwatch.Notification
---@return string[]
function notification.lines(alert)
  local lines = {}
  for _, one in ipairs(notification.is_group(alert) and alert.alerts or {}) do
    lines[#lines + 1] = notification.title(one) .. ": " .. notification.cut(one.summary, 200)
  end
  return lines
end

---"high_error_rate of payment: payment fails": the alert that the traces name as the cause.
---@param cause spanwatch.NotificationCause
---@return string
function notification.about_cause(cause)
  return ("%s of %s%s%s"):format(cause.type, cause.service, cause.summary ~= "" and ": " or "", cause.summary)
end

---"payment charge card, 1904.1 ms of its own, CardDeclined: no funds": the span to look at first.
---@param culprit spanwatch.NotificationCulprit
---@return string
function notification.about_culprit(culprit)
  local parts = { culprit.service .. " " .. culprit.name, notification.number(culprit.self_time_ms) .. " ms of its own" }
  local kind, message = culprit.exception_type, culprit.error_message
  parts[#parts + 1] = kind and message and kind .. ": " .. message or kind or message
  return table.concat(parts, ", ")
end

---Name and value of what is known, for tables of facts.
---@param alert spanwatch.Notification
---@return {name: string, value: string}[]
function notification.facts(alert)
  local facts = {}
  local function add(name, value)
    if type(value) == "number" then
      value = notification.number(value)
    end
    if value ~= nil and value ~= "" then
      facts[#facts + 1] = { name = name, value = value }
    end
  end
  add("Severity", alert.severity)
  if notification.is_group(alert) then
    add("Firing", alert.firing_alerts)
    add("Resolved", alert.resolved_alerts)
    add("Firing in the group", alert.group_firing > alert.firing_alerts and alert.group_firing or nil)
    add("Group", notification.group_name(alert))
    return facts
  end
  add("Service", alert.service)
  add("Operation", alert.operation)
  add("Value", alert.value)
  add("Threshold", alert.threshold)
  add("Affected traces", alert.affected_traces)
  add("Error", alert.error_message)
  add("Culprit", alert.culprit and notification.about_culprit(alert.culprit))
  add("Likely cause", alert.likely_cause and notification.about_cause(alert.likely_cause))
  add("Since", alert.starts_at)
  add("Until", alert.ends_at)
  return facts
end

---"2412.3 ms, worst, card declined": what is known about one trace besides its id. One that is all of worst, newest and
---representative is the only one: that is not said.
---@param trace spanwatch.NotificationTrace
---@return string
function notification.about_trace(trace)
  local parts = {}
  if trace.duration_ms then
    parts[1] = notification.number(trace.duration_ms) .. " ms"
  end
  for _, mark in ipairs(trace.marks and #trace.marks < 3 and trace.marks or {}) do
    parts[#parts + 1] = mark
  end
  parts[#parts + 1] = trace.error_message
  return table.concat(parts, ", ")
end

return notification
