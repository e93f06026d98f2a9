-- PagerDuty Events API v2: SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE holds the routing key (integration key) of the service,
-- TEMPO_ALERT_WEBHOOK_URL is https://events.pagerduty.com/v2/enqueue.
-- https://developer.pagerduty.com/docs/send-alert-event
local notification = require("notification")
local cut = notification.cut

local SUMMARY_MAX, KEY_MAX, TEXT_MAX, LINKS_MAX, ALERTS_MAX = 1024, 255, 1024, 20, 4096

local function links(alert)
  local list = {}
  for _, trace in ipairs(notification.traces(alert)) do
    if trace.url and #list < LINKS_MAX then
      list[#list + 1] = { href = trace.url, text = "trace " .. trace.trace_id }
    end
  end
  return #list > 0 and list or nil
end

local function details(alert)
  local all = {}
  for _, fact in ipairs(notification.facts(alert)) do
    all[fact.name] = cut(fact.value, TEXT_MAX)
  end
  for name, value in pairs(alert.labels) do
    all["label " .. name] = cut(value, TEXT_MAX)
  end
  -- PagerDuty takes one event per request, so a group is one incident.
  if notification.is_group(alert) then
    all.Alerts = notification.join(notification.lines(alert), ALERTS_MAX, alert.truncated_alerts)
  end
  return all
end

local function payload(alert)
  local service = alert.service or ""
  return {
    summary = cut(notification.title(alert) .. ": " .. alert.summary, SUMMARY_MAX),
    source = cut(service ~= "" and service or alert.source, TEXT_MAX),
    severity = alert.severity, -- critical, warning, info: PagerDuty has the same words, and error
    timestamp = alert.starts_at,
    component = service ~= "" and cut(service, TEXT_MAX) or nil,
    group = alert.detector,
    class = alert.anomaly_type,
    custom_details = details(alert),
  }
end

return {
  name = "PagerDuty",

  format = function(alert, config)
    if not config.secret then
      error("there is no routing key: SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE must name a file with it", 0)
    end
    local resolved = alert.status == "resolved" and (alert.group_firing or 0) == 0
    return {
      routing_key = config.secret,
      event_action = resolved and "resolve" or "trigger",
      dedup_key = notification.identity(alert, KEY_MAX),
      payload = payload(alert),
      links = not resolved and links(alert) or nil,
      client = "spanwatch",
    }
  end,
}
