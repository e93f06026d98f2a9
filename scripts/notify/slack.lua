-- Slack incoming webhooks: one message with blocks, coloured by severity.
-- https://docs.slack.dev/reference/block-kit/blocks gives the limits.
local notification = require("notification")
local cut = notification.cut

local HEADER_MAX, SECTION_MAX, FIELD_MAX, FIELDS_MAX, FALLBACK_MAX = 150, 3000, 2000, 10, 4000
local COLORS = { critical = "#d00000", warning = "#e8a33d", info = "#3d7fe8", resolved = "#2eb67d" }

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }

-- Escapes the three characters that Slack gives a meaning, in at most `max` characters; no escape is torn.
local function escape(text, max)
  local out, length = {}, 0
  for _, code in utf8.codes(cut(text, max)) do
    local char = utf8.char(code)
    local escape_of = ESCAPES[char]
    length = length + (escape_of and #escape_of or 1)
    if length > max then
      break
    end
    out[#out + 1] = escape_of or char
  end
  return table.concat(out)
end

local function section(text)
  return { type = "section", text = { type = "mrkdwn", text = text } }
end

local function fields(alert)
  local list = {}
  for _, fact in ipairs(notification.facts(alert)) do
    if #list < FIELDS_MAX then
      list[#list + 1] = { type = "mrkdwn", text = ("*%s*\n%s"):format(fact.name, escape(fact.value, FIELD_MAX - 30)) }
    end
  end
  return { type = "section", fields = list }
end

-- A line for each alert of a group.
local function alerts(alert)
  local lines = {}
  for _, one in ipairs(alert.alerts) do
    local title, url = escape(notification.title(one), 200), notification.url(one)
    title = url and ("<%s|%s>"):format(url, title) or ("*%s*"):format(title)
    lines[#lines + 1] = ("• %s\n%s"):format(title, escape(one.summary, 300))
  end
  return section(notification.join(lines, SECTION_MAX, alert.truncated_alerts))
end

local function traces(alert)
  local lines = {}
  for _, trace in ipairs(notification.traces(alert)) do
    local link = trace.url and ("<%s|%s>"):format(trace.url, trace.trace_id) or ("`%s`"):format(trace.trace_id)
    lines[#lines + 1] = link .. " " .. escape(notification.about_trace(trace), 300)
  end
  return #lines > 0 and section(notification.join(lines, SECTION_MAX)) or nil
end

return {
  name = "Slack",
  content_type = "application/json; charset=utf-8",

  format = function(alert)
    local title = notification.title(alert)
    local blocks = {
      { type = "header", text = { type = "plain_text", text = cut(title, HEADER_MAX) } },
      section(escape(alert.summary, SECTION_MAX)),
      fields(alert),
    }
    blocks[#blocks + 1] = notification.is_group(alert) and alerts(alert) or traces(alert)
    local color = alert.status == "resolved" and COLORS.resolved or COLORS[alert.severity]
    return {
      text = escape(title .. ": " .. alert.summary, FALLBACK_MAX),
      attachments = { { color = color, blocks = blocks } },
    }
  end,
}
