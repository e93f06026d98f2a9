-- The default rules: slow traces, failed traces, and too many failures. Copy this file to make your own.

---A finding about one trace. The agent groups them into alerts, reports each trace once per rule, and sums up.
local function about(trace, type, config)
  return {
    type = type,
    service = trace.service,
    operation = trace.operation,
    trace = trace,
    span_name = trace.operation,
    duration_ms = trace.duration_ms,
    error_message = trace.error_message,
    keep_firing_s = config.keep_firing_s,
  }
end

local function slow_or_failed(ctx, findings)
  local config, threshold_ms = ctx.config, ctx.config.latency_threshold_ms
  for _, trace in ipairs(ctx.window.traces) do
    local slow, failed = trace.duration_ms > threshold_ms, trace.status == "error"
    if slow then
      local finding = about(trace, "high_latency", config)
      finding.value, finding.threshold = trace.duration_ms, threshold_ms
      findings[#findings + 1] = finding
    end
    if failed then
      findings[#findings + 1] = about(trace, "error_status", config)
    end
    ctx.explain("%s: duration %.6g ms %s latency_threshold_ms %.6g", slow and "high_latency" or "no high_latency",
      trace.duration_ms, slow and ">" or "<=", threshold_ms)
    ctx.explain("%s: status is %s", failed and "error_status" or "no error_status", trace.status)
  end
end

---service = nil: all of them together.
local function error_rate(ctx, service, count, errors, findings)
  local config, name = ctx.config, service or "all services"
  if count < config.min_requests then
    ctx.explain("no high_error_rate of %s: %.0f requests < min_requests %.0f", name, count, config.min_requests)
    return
  end
  local over = errors / count > config.error_rate_threshold
  ctx.explain("%s of %s: %.0f of %.0f requests failed, %.4g %s error_rate_threshold %.4g",
    over and "high_error_rate" or "no high_error_rate", name, errors, count, errors / count, over and ">" or "<=",
    config.error_rate_threshold)
  if not over then
    return
  end
  findings[#findings + 1] = {
    type = "high_error_rate",
    service = service,
    value = errors / count,
    threshold = config.error_rate_threshold,
    affected_traces = errors,
    total_traces = count,
    severity = "critical",
    summary = ("%s: %.1f %% of requests failed (%.0f of %.0f), over %g %%"):format(name,
      100 * errors / count, errors, count, 100 * config.error_rate_threshold),
  }
end

---The counts are exact. Where they are not known there is no series, and so nothing is said about rates.
local function error_rates(ctx, findings)
  local counts, errors, services = {}, {}, {}
  local all_count, all_errors = 0, 0
  for _, one in ipairs(ctx.window.series) do
    if not counts[one.service] then
      counts[one.service], errors[one.service] = 0, 0
      services[#services + 1] = one.service
    end
    counts[one.service] = counts[one.service] + one.count
    errors[one.service] = errors[one.service] + one.errors
    all_count, all_errors = all_count + one.count, all_errors + one.errors
  end
  for _, service in ipairs(services) do
    error_rate(ctx, service, counts[service], errors[service], findings)
  end
  if #services > 0 then
    error_rate(ctx, nil, all_count, all_errors, findings)
  end
end

---@type spanwatch.Detector
return {
  name = "default rules",
  config = {
    latency_threshold_ms = 1000, -- TEMPO_LATENCY_THRESHOLD_MS
    error_rate_threshold = 0.05, -- TEMPO_ERROR_RATE_THRESHOLD
    min_requests = 20, -- TEMPO_ERROR_RATE_MIN_REQUESTS
    keep_firing_s = 300, -- alerts about traces end this long after the last offending trace
  },
  wants = function(config)
    return { min_duration_ms = config.latency_threshold_ms, errors = true, series = true }
  end,
  revisions = true, -- spans come late: judge a window again when its counts have changed
  check = function(ctx)
    local findings = {}
    slow_or_failed(ctx, findings)
    error_rates(ctx, findings)
    return findings
  end,
}
