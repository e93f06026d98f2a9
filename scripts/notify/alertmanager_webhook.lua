-- The body that Alertmanager posts to its webhook receivers (version 4), so that what takes those takes ours.
-- https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
-- config: receiver (the name shown, "spanwatch"), external_url (of the agent, for links).
local notification = require("notification")

local NEVER = "0001-01-01T00:00:00Z" -- Alertmanager's zero time: it has not ended

local function labels(alert)
  local all = {}
  for name, value in pairs(alert.labels) do
    all[name] = value
  end
  for name, value in pairs { service = alert.service or "", operation = alert.operation or "" } do
    all[name] = value ~= "" and value or nil
  end
  all.alertname, all.severity = alert.anomaly_type, alert.severity
  all.detector, all.source = alert.detector, alert.source
  return all
end

local function annotations(alert)
  local all = { summary = alert.summary, trace_id = alert.trace_id, error_message = alert.error_message }
  for _, name in ipairs { "value", "threshold", "duration_ms", "affected_traces", "total_traces" } do
    all[name] = alert[name] and notification.number(alert[name])
  end
  return all
end

local function one(alert)
  return {
    status = alert.status,
    labels = labels(alert),
    annotations = annotations(alert),
    startsAt = alert.starts_at,
    endsAt = alert.ends_at or NEVER,
    generatorURL = notification.url(alert) or "",
    fingerprint = alert.fingerprint,
  }
end

-- What all of them say alike.
local function common(alerts, field)
  local all = {}
  for name, value in pairs(alerts[1][field]) do
    all[name] = value
    for _, other in ipairs(alerts) do
      if other[field][name] ~= value then
        all[name] = nil
      end
    end
  end
  return all
end

return {
  name = "Alertmanager webhook",

  format = function(alert, config)
    local alerts = {}
    for i, told in ipairs(alert.alerts or { alert }) do
      alerts[i] = one(told)
    end
    return {
      version = "4",
      groupKey = alert.group_key or ('{}:{fingerprint="%s"}'):format(alert.fingerprint),
      truncatedAlerts = alert.truncated_alerts or 0,
      status = alert.status,
      receiver = config.receiver or "spanwatch",
      groupLabels = alert.group_labels or { alertname = alert.anomaly_type },
      commonLabels = common(alerts, "labels"),
      commonAnnotations = common(alerts, "annotations"),
      externalURL = config.external_url or "",
      alerts = alerts,
    }
  end,
}
