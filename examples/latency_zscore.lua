-- Latency that is unusual for the operation: its quantile is many standard deviations above what it used to be.
-- It learns per service and operation, forgets slowly, and does not learn from what it reports.
local statistics = require "statistics"

local function baseline_of(baselines, one)
  local key = one.service .. "\0" .. one.operation
  local baseline = baselines[key]
  if not baseline then
    baseline = statistics.ewma()
    baselines[key] = baseline
  end
  return baseline
end

local function judge(ctx, one, latency, baseline)
  local config = ctx.config
  local floor = math.max(config.min_deviation_ms, config.min_deviation_ratio * baseline.mean)
  local z = statistics.zscore(latency, baseline.mean, baseline.variance, floor)
  ctx.explain("%s %s: p%g is %.0f ms, usually %.0f ms: %.1f standard deviations, max_zscore %g", one.service, one.operation,
    100 * config.quantile, latency, baseline.mean, z, config.max_zscore)
  if z <= config.max_zscore then
    return nil
  end
  return {
    type = "unusual_latency",
    service = one.service,
    operation = one.operation,
    value = latency,
    threshold = baseline.mean + config.max_zscore * math.max(math.sqrt(baseline.variance), floor),
    baseline = baseline.mean,
    baseline_samples = baseline.count,
    duration_ms = latency,
    total_traces = one.count,
    keep_firing_s = config.keep_firing_s,
    summary = ("%s %s: p%g is %.0f ms, usually %.0f ms (%.1f standard deviations)"):format(one.service, one.operation,
      100 * config.quantile, latency, baseline.mean, z),
  }
end

---@type spanwatch.Detector
return {
  name = "unusual latency",
  config = {
    quantile = 0.95,
    max_zscore = 4,
    min_requests = 20, -- windows with fewer requests say too little
    warm_up = 20, -- windows to learn from before the first finding
    alpha = 0.05, -- weight of the newest window: 2 / (n + 1) remembers about n windows
    min_deviation_ms = 5, -- a very steady operation has a deviation near 0
    min_deviation_ratio = 0.1,
    give_in_after = 40, -- unusual windows in a row after which the new latency is the usual one
    max_operations = 2000,
    keep_firing_s = 120,
  },
  wants = { series = true },
  check = function(ctx)
    local config, window = ctx.config, ctx.window
    if not window.complete then
      return nil, "the counts of this window are not complete: " .. window.reason
    end
    ctx.state.baselines = ctx.state.baselines or {}
    local baselines, findings = ctx.state.baselines, {}
    for _, one in ipairs(window.series) do
      local latency = one:quantile(config.quantile)
      if latency and one.count >= config.min_requests then
        local baseline = baseline_of(baselines, one)
        local warm = baseline.count >= config.warm_up
        local finding = warm and judge(ctx, one, latency, baseline) or nil
        baseline.unusual = finding and (baseline.unusual or 0) + 1 or 0
        baseline.seen = window.to
        if baseline.unusual > config.give_in_after then
          baselines[one.service .. "\0" .. one.operation] = nil
        elseif not finding then
          statistics.ewma_add(baseline, latency, config.alpha)
        end
        findings[#findings + 1] = finding
      end
    end
    local forgotten = statistics.keep_newest(baselines, config.max_operations)
    if forgotten > 0 then
      ctx.log.warn("too many operations, forgetting the oldest", { forgotten = forgotten })
    end
    return findings
  end,
}
