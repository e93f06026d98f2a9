-- Alerts for Alertmanager itself, as Prometheus sends them: the receiver's url is http://HOST:9093/api/v2/alerts, one
-- receiver for each Alertmanager of a cluster. The agent sends what still fires again every resend_secs (60), and
-- Alertmanager takes an alert for over when it hears no more of it for four times as long.
-- https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
-- config: generator_url (the link of alerts that have no trace with one).
local notification = require("notification")

-- An alert's labels are its identity there: only what stays the same over its life is one. Names are made of letters,
-- digits and _; an empty value is no label.
local function labels(alert)
  local all = {}
  for name, value in pairs(alert.labels) do
    all[name:gsub("[^%w_]", "_"):gsub("^%d", "_%0")] = value ~= "" and value or nil
  end
  all.alertname, all.severity = alert.anomaly_type, alert.severity
  return all
end

local TEXTS = { "summary", "service", "operation", "detector", "source", "trace_id", "error_message", "fingerprint" }
local NUMBERS = { "value", "threshold", "duration_ms", "affected_traces", "total_traces" }

local function annotations(alert)
  local all = { culprit = alert.culprit and notification.about_culprit(alert.culprit) }
  for _, name in ipairs(TEXTS) do
    all[name] = alert[name] ~= "" and alert[name] or nil
  end
  for _, name in ipairs(NUMBERS) do
    all[name] = alert[name] and notification.number(alert[name])
  end
  return all
end

local function rfc3339(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", seconds)
end

return {
  name = "Alertmanager",

  format = function(alert, config)
    local alerts, ends_at = {}, rfc3339(os.time() + math.floor(config.ends_after_secs or 240))
    for i, told in ipairs(alert.alerts or { alert }) do
      alerts[i] = {
        labels = labels(told),
        annotations = annotations(told),
        startsAt = told.starts_at,
        endsAt = told.status == "resolved" and told.ends_at or ends_at,
        generatorURL = notification.url(told) or config.generator_url,
      }
    end
    return alerts
  end,
}
