-- Discord webhooks: one embed, coloured by severity. Nobody is mentioned: mentions in embeds do nothing.
-- https://discord.com/developers/docs/resources/message#embed-object-embed-limits: 6000 characters in all.
local notification = require("notification")
local cut = notification.cut

local TITLE_MAX, SUMMARY_MAX, TRACES_MAX, FIELD_MAX, FOOTER_MAX = 256, 1200, 1200, 300, 200
local COLORS = { critical = 0xd00000, warning = 0xe8a33d, info = 0x3d7fe8, resolved = 0x2eb67d }

local function fields(alert)
  local list = {}
  for _, fact in ipairs(notification.facts(alert)) do
    list[#list + 1] = { name = fact.name, value = cut(fact.value, FIELD_MAX), inline = true }
  end
  return list
end

-- A line for each alert of a group.
local function alerts(alert)
  local lines = {}
  for _, one in ipairs(alert.alerts) do
    local title, url = cut(notification.title(one), 120), notification.url(one)
    title = url and ("[%s](%s)"):format(title:gsub("[%[%]]", " "), url) or ("**%s**"):format(title)
    lines[#lines + 1] = title .. " " .. cut(one.summary, 120)
  end
  return "\n\n" .. notification.join(lines, TRACES_MAX, alert.truncated_alerts)
end

local function traces(alert)
  local lines = {}
  for _, trace in ipairs(notification.traces(alert)) do
    local link = trace.url and ("[%s](%s)"):format(trace.trace_id, trace.url) or ("`%s`"):format(trace.trace_id)
    lines[#lines + 1] = link .. " " .. cut(notification.about_trace(trace), 100)
  end
  return #lines > 0 and "\n\n" .. notification.join(lines, TRACES_MAX) or ""
end

return {
  name = "Discord",

  format = function(alert)
    local is_group = notification.is_group(alert)
    return {
      embeds = {
        {
          title = cut(notification.title(alert), TITLE_MAX),
          description = cut(alert.summary, SUMMARY_MAX) .. (is_group and alerts or traces)(alert),
          color = alert.status == "resolved" and COLORS.resolved or COLORS[alert.severity],
          fields = fields(alert),
          timestamp = alert.ends_at or alert.starts_at,
          footer = { text = cut(is_group and alert.group_key or alert.detector .. " " .. alert.fingerprint, FOOTER_MAX) },
        },
      },
    }
  end,
}
