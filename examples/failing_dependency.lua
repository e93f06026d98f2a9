-- Which service makes another one fail: when an operation fails too often, some of its failing traces are read, and the
-- service is named in which they fail first, farthest from the entry. Works on every source.

-- Services in which the trace fails by itself: spans that failed although nothing below them did.
local function origins(trace)
  local failed_below = {}
  for _, span in ipairs(trace.spans) do
    if span.status == "error" then
      failed_below[span.parent_id] = true
    end
  end
  local services = {}
  for _, span in ipairs(trace.spans) do
    if span.status == "error" and not failed_below[span.id] then
      services[span.service] = true
    end
  end
  return services
end

-- The service that most of the traces name; nil when none does.
local function most_named(traces)
  local counts, most = {}, nil
  for _, trace in ipairs(traces) do
    for service in pairs(origins(trace)) do
      counts[service] = (counts[service] or 0) + 1
      if not most or counts[service] > counts[most] or (counts[service] == counts[most] and service < most) then
        most = service
      end
    end
  end
  return most
end

local function read_traces(ctx, one)
  local answer, message, code = ctx.search {
    service = one.service,
    operation = one.operation,
    status = "error",
    from = ctx.window.from,
    to = ctx.window.to,
    limit = ctx.config.traces,
  }
  if not answer then
    ctx.log.warn("failing traces could not be found", { reason = message, code = code })
    return {}
  end
  local whole = {}
  for _, found in ipairs(answer.traces) do
    whole[#whole + 1] = ctx.trace(found.id) -- nil for one that is gone
  end
  return whole
end

---@type spanwatch.Detector
return {
  name = "failing dependency",
  config = {
    error_rate = 0.1,
    min_requests = 20,
    traces = 3, -- read for each operation,
    operations = 5, -- of which the worst are looked at
  },
  check = function(ctx)
    local config, bad, findings = ctx.config, {}, {}
    if not ctx.window.complete then
      return nil, ctx.window.reason
    end
    for _, one in ipairs(ctx.window.series) do
      if one.count >= config.min_requests and one.errors / one.count > config.error_rate then
        bad[#bad + 1] = one
      end
    end
    table.sort(bad, function(a, b) return a.errors > b.errors end)
    for i = 1, math.min(#bad, config.operations) do
      local one = bad[i]
      local culprit = most_named(read_traces(ctx, one))
      if culprit and culprit ~= one.service then
        findings[#findings + 1] = {
          type = "failing_dependency",
          service = one.service,
          operation = one.operation,
          labels = { dependency = culprit },
          value = one.errors / one.count,
          threshold = config.error_rate,
          summary = ("%s %s fails because %s does"):format(one.service, one.operation, culprit),
        }
      end
    end
    return findings
  end,
}
