-- Opsgenie's alert API: TEMPO_ALERT_WEBHOOK_URL is https://api.opsgenie.com/v2/alerts (or api.eu.opsgenie.com),
-- SPANWATCH_WEBHOOK_BEARER_TOKEN_FILE holds the API key, and SPANWATCH_WEBHOOK_AUTHORIZATION_TYPE is GenieKey.
-- https://docs.opsgenie.com/docs/alert-api
-- config: responders (a list as Opsgenie has it, { { name = "ops", type = "team" } }), tags (a list of texts),
-- priorities ({ critical = "P1", warning = "P3", info = "P5" }).
local notification = require("notification")
local cut = notification.cut

local MESSAGE_MAX, ALIAS_MAX, DESCRIPTION_MAX, ENTITY_MAX, SOURCE_MAX, TAG_MAX, NOTE_MAX = 130, 512, 15000, 512, 100, 50, 25000
local DETAIL_MAX, TAGS_MAX = 500, 20 -- all details together have 8000 characters
local PRIORITIES = { critical = "P1", warning = "P3", info = "P5" }

local function encoded(text)
  return (text:gsub("[^%w_~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function description(alert)
  local lines = notification.lines(alert)
  table.insert(lines, 1, alert.summary)
  for _, trace in ipairs(notification.traces(alert)) do
    lines[#lines + 1] = trace.url and trace.url .. " " .. cut(notification.about_trace(trace), 200) or nil
  end
  return notification.join(lines, DESCRIPTION_MAX, alert.truncated_alerts)
end

local function details(alert)
  local all, left = {}, 8000
  local function add(name, value)
    value = cut(value, DETAIL_MAX)
    left = left - #name - #value
    all[name] = left > 0 and value or nil
  end
  for _, fact in ipairs(notification.facts(alert)) do
    add(fact.name, fact.value)
  end
  for name, value in pairs(alert.labels) do
    add("label " .. name, value)
  end
  return all
end

local function tags(alert, config)
  local all = {}
  for _, tag in ipairs(config.tags or { alert.anomaly_type, alert.severity }) do
    all[#all + 1] = #all < TAGS_MAX and cut(tag, TAG_MAX) or nil
  end
  return all
end

local function create(alert, config)
  local service = alert.service or ""
  return {
    message = cut(notification.title(alert), MESSAGE_MAX),
    alias = notification.identity(alert, ALIAS_MAX),
    description = description(alert),
    responders = config.responders,
    tags = tags(alert, config),
    details = details(alert),
    entity = service ~= "" and cut(service, ENTITY_MAX) or nil,
    source = cut("spanwatch " .. alert.detector, SOURCE_MAX),
    priority = (config.priorities or PRIORITIES)[alert.severity],
  }
end

return {
  name = "Opsgenie",

  format = function(alert, config)
    if alert.status == "resolved" and (alert.group_firing or 0) == 0 then
      local note = cut("over: " .. alert.summary, NOTE_MAX)
      return { source = cut("spanwatch " .. alert.detector, SOURCE_MAX), note = note },
        "/" .. encoded(notification.identity(alert, ALIAS_MAX)) .. "/close?identifierType=alias"
    end
    return create(alert, config)
  end,
}
