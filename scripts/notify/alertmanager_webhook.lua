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

return {
  name = "Alertmanager webhook",

  format = function(alert, config)
    local ours, notes = labels(alert), annotations(alert)
    local first = alert.traces[1]
    return {
      version = "4",
      groupKey = ('{}:{fingerprint="%s"}'):format(alert.fingerprint),
      truncatedAlerts = 0,
      status = alert.status,
      receiver = config.receiver or "spanwatch",
      groupLabels = { alertname = ours.alertname },
      commonLabels = ours,
      commonAnnotations = notes,
      externalURL = config.external_url or "",
      alerts = {
        {
          status = alert.status,
          labels = ours,
          annotations = notes,
          startsAt = alert.starts_at,
          endsAt = alert.ends_at or NEVER,
          generatorURL = first and first.url or "",
          fingerprint = alert.fingerprint,
        },
      },
    }
  end,
}
