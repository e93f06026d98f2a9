-- spanwatch run --config /etc/spanwatch/config.lua
-- Three receivers, the routes to them, and what keeps one alert back because of another. Try it:
-- spanwatch check --config config.lua, and
-- spanwatch routes test service=checkout severity=critical --config config.lua
return {
  receivers = {
    {
      name = "pager",
      url = "https://events.pagerduty.com/v2/enqueue",
      format = "pagerduty",
      format_secret_file = env("PAGERDUTY_KEY_FILE", "/etc/spanwatch/pagerduty-key"), -- the routing key
    },
    {
      name = "chat",
      url = env("SLACK_URL", "https://hooks.slack.com/services/T0/B0/secret"),
      format = "slack",
    },
    {
      name = "tickets", -- one's own: what is broken for a day becomes a ticket, and nothing is said when it is over
      url = "https://tickets.example/api/issues",
      format = "template",
      format_config = { template = { title = "{summary}", body = "{anomaly_type} of {service}, value {value}" } },
      bearer_token_file = env("TICKETS_TOKEN_FILE", "/etc/spanwatch/tickets-token"), -- read again when it changes
      send_resolved = false,
      timeout_ms = 30000,
    },
  },

  -- Every alert enters here. Of the routes below, the first whose matchers all match takes it, and with
  -- continue = true the ones after it are asked as well. What none of them takes goes to this receiver.
  route = {
    receiver = "chat",
    group_by = { "type", "service" }, -- one message for all operations of a service that are slow at once
    group_wait = "30s",
    group_interval = "5m",
    repeat_interval = "4h",
    routes = {
      -- The pager is told of each alert alone, and at once.
      { receiver = "pager", matchers = { 'severity="critical"' }, group_by = { "..." }, continue = true },
      { receiver = "tickets", matchers = { 'type="high_error_rate"', 'service=~"checkout|cart"' } },
    },
  },

  -- The rate of a service says it: single failures of that service are not told while it is too high.
  inhibit_rules = {
    {
      source_matchers = { 'alertname="high_error_rate"' },
      target_matchers = { 'alertname="error_status"' },
      equal = { "service" },
    },
  },
}
