-- More failures than usual: the number of failed requests of a service against the average of its last windows.
-- For services whose error rate is never near a threshold, but whose errors come in bursts.
local statistics = require "statistics"

local function errors_by_service(series)
  local errors, counts = {}, {}
  for _, one in ipairs(series) do
    errors[one.service] = (errors[one.service] or 0) + one.errors
    counts[one.service] = (counts[one.service] or 0) + one.count
  end
  return errors, counts
end

local function burst(ctx, service, errors, history, count)
  local config = ctx.config
  local average = statistics.mean(history)
  local limit = math.max(config.min_errors, config.factor * average)
  ctx.explain("%s: %.0f failed requests, %.1f on average, limit %.1f", service, errors, average, limit)
  if errors < limit then
    return nil
  end
  return {
    type = "error_burst",
    service = service,
    value = errors,
    threshold = limit,
    baseline = average,
    baseline_samples = #history,
    affected_traces = errors,
    total_traces = count,
    summary = ("%s: %.0f failed requests, %.1f on average"):format(service, errors, average),
  }
end

---@type spanwatch.Detector
return {
  name = "error bursts",
  config = {
    windows = 20, -- how many windows the average is over
    warm_up = 5,
    factor = 3, -- times the average
    min_errors = 5, -- fewer failures than this are no burst
    max_services = 500,
  },
  wants = { series = true },
  check = function(ctx)
    local config, window, state = ctx.config, ctx.window, ctx.state
    if not window.complete then
      return nil, "the counts of this window are not complete: " .. window.reason
    end
    state.services = state.services or {}
    local errors, counts = errors_by_service(window.series)
    local findings = {}
    for service, count in pairs(counts) do
      local history = state.services[service] or { values = {} }
      state.services[service] = history
      history.seen = window.to
      if #history.values >= config.warm_up then
        findings[#findings + 1] = burst(ctx, service, errors[service], history.values, count)
      end
    end
    -- A service without requests had no failures: its average sinks.
    for service, history in pairs(state.services) do
      statistics.push(history.values, errors[service] or 0, config.windows)
    end
    statistics.keep_newest(state.services, config.max_services)
    return findings
  end,
}
