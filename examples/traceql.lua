-- A condition of one's own in TraceQL: traces that ask the database again and again (N+1 queries).
-- For Grafana Tempo; `ctx.tempo.search` with portable terms instead of `q` works with every backend.

---@type spanwatch.Detector
return {
  name = "N+1 queries",
  every_s = 60, -- a question of its own: ask it less often than the agent asks
  config = {
    attribute = "span.db.system", -- newer SDKs: "span.db.system.name"
    max_queries = 30, -- in one trace
    limit = 100,
  },
  wants = { series = false },
  check = function(ctx)
    local config, window = ctx.config, ctx.window
    local answer, message, code = ctx.tempo.search {
      q = ("{ %s != nil } | count() > %d"):format(config.attribute, config.max_queries),
      from = window.from,
      to = window.to,
      limit = config.limit,
    }
    if not answer then
      return nil, ("the question failed: %s (%s)"):format(message, code)
    end
    local findings = {}
    for _, trace in ipairs(answer.traces) do
      findings[#findings + 1] = {
        type = "n_plus_one_queries",
        service = trace.service,
        operation = trace.operation,
        trace = trace,
        value = trace.matched,
        threshold = config.max_queries,
        keep_firing_s = 600,
        summary = ("%s %s made %d database queries"):format(trace.service, trace.operation, trace.matched),
      }
    end
    if not answer.complete then
      ctx.log.warn("there may be more such traces, or queries in them", { limit = config.limit })
    end
    return findings
  end,
}
