-- Microsoft Teams: an adaptive card, for the workflow "Post to a channel when a webhook request is received".
-- https://adaptivecards.io/explorer; Teams takes messages of up to 28 KB.
local notification = require("notification")

local MESSAGE_MAX = 27000 -- bytes
local LINKS_MAX, ALERTS_MAX = 5, 15
local STYLES = { critical = "attention", warning = "warning", info = "accent", resolved = "good" }

-- Cards read Markdown: what looks like a link in an alert's text is not made one.
local function plain(text, max)
  return (notification.cut(text, max):gsub("%]%(", "] ("))
end

local function facts(alert, max)
  local list = {}
  for _, fact in ipairs(notification.facts(alert)) do
    list[#list + 1] = { title = fact.name, value = plain(fact.value, max) }
  end
  return list
end

-- A paragraph for each alert of a group.
local function add_alerts(body, alert, max)
  for i, one in ipairs(alert.alerts) do
    if i > ALERTS_MAX then
      break
    end
    local url = notification.url(one)
    local title = plain(notification.title(one), math.min(max, 100)):gsub("[%[%]]", " ")
    title = url and #url <= 500 and ("[%s](%s)"):format(title, url) or ("**%s**"):format(title)
    body[#body + 1] = { type = "TextBlock", wrap = true, text = title .. " " .. plain(one.summary, max) }
  end
  local missing = #alert.alerts + alert.truncated_alerts - math.min(#alert.alerts, ALERTS_MAX)
  if missing > 0 then
    body[#body + 1] = { type = "TextBlock", wrap = true, text = ("… and %d more"):format(missing) }
  end
end

local function links(alert)
  local list = {}
  for _, trace in ipairs(notification.traces(alert)) do
    if trace.url and #trace.url <= 1000 and #list < LINKS_MAX then
      list[#list + 1] = { type = "Action.OpenUrl", title = "Trace " .. trace.trace_id:sub(1, 8), url = trace.url }
    end
  end
  return #list > 0 and list or nil
end

-- No text of it is longer than `max` characters.
local function message(alert, max)
  local style = alert.status == "resolved" and STYLES.resolved or STYLES[alert.severity]
  local card = {
    ["$schema"] = "http://adaptivecards.io/schemas/adaptive-card.json",
    type = "AdaptiveCard",
    version = "1.4",
    msteams = { width = "Full" },
    body = {
      {
        type = "Container",
        style = style,
        bleed = true,
        items = {
          {
            type = "TextBlock", size = "Large", weight = "Bolder", wrap = true,
            text = plain(notification.title(alert), math.min(max, 300)),
          },
        },
      },
      { type = "TextBlock", wrap = true, text = plain(alert.summary, max) },
      { type = "FactSet", facts = facts(alert, max) },
    },
    actions = not notification.is_group(alert) and links(alert) or nil,
  }
  if notification.is_group(alert) then
    add_alerts(card.body, alert, max)
  end
  return { type = "message", attachments = { { contentType = "application/vnd.microsoft.card.adaptive", content = card } } }
end

return {
  name = "Microsoft Teams",

  format = function(alert)
    local body
    for _, max in ipairs { 2000, 500, 150 } do
      body = json.encode(message(alert, max))
      if #body <= MESSAGE_MAX then
        return body
      end
    end
    return body
  end,
}
