-- What a *_test.lua file sees: the global `test`, and the harness `t` that drives detectors without the agent.
-- Compiled into the worker, so that tests run in the sandbox that detectors run in. It gets what only C can do, and
-- gives the list of tests and the function that runs one of them. scripts/types/test.lua documents it.
local host, sources = ...

local error, ipairs, next, pairs, pcall, rawget, rawset, setmetatable, tostring, type =
  error, ipairs, next, pairs, pcall, rawget, rawset, setmetatable, tostring, type
local format, find, sub = string.format, string.find, string.sub
local concat, sort = table.concat, table.sort
local ceil, floor, log, huge = math.ceil, math.floor, math.log, math.huge

local START = 1760000000 -- a time like any other: tests say what they mean relative to it
local MAX_SHOWN = 1000

-- Showing and comparing values ---------------------------------------------------------------------------------------

local function by_type_and_value(a, b)
  if type(a) ~= type(b) or (type(a) ~= "number" and type(a) ~= "string") then
    return tostring(a) < tostring(b)
  end
  return a < b
end

local function show(value, depth)
  if type(value) == "string" then
    return format("%q", value)
  elseif type(value) ~= "table" then
    return tostring(value)
  elseif depth > 6 then
    return "{...}"
  end
  local keys, parts = {}, {}
  for key in next, value do
    keys[#keys + 1] = key
  end
  sort(keys, by_type_and_value)
  for i, key in ipairs(keys) do
    local shown = show(value[key], depth + 1)
    if key == i then
      parts[i] = shown
    elseif type(key) == "string" and find(key, "^[%a_][%w_]*$") then
      parts[i] = key .. " = " .. shown
    else
      parts[i] = "[" .. show(key, depth + 1) .. "] = " .. shown
    end
  end
  return "{" .. concat(parts, ", ") .. "}"
end

local function shown(value)
  local text = show(value, 0)
  return #text <= MAX_SHOWN and text or sub(text, 1, MAX_SHOWN) .. "..."
end

local function same(a, b, depth)
  if a == b then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" or depth > 60 then
    return a ~= a and b ~= b
  end
  for key, value in next, a do
    if not same(value, b[key], depth + 1) then
      return false
    end
  end
  for key in next, b do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- Raised where the test called the assertion: two functions up from here.
local function fail(message, what)
  error(message and tostring(message) .. ": " .. what or what, 3)
end

-- Misuse of the harness is raised there too.
local function check_fields(what, fields, known)
  if fields ~= nil and type(fields) ~= "table" then
    error(format("%s takes a table (it got a %s)", what, type(fields)), 3)
  end
  for key in pairs(fields or {}) do
    if known[key] == nil then
      local names = {}
      for name in pairs(known) do
        names[#names + 1] = name
      end
      sort(names)
      error(format("%s: unknown field '%s'; known are %s", what, tostring(key), concat(names, ", ")), 3)
    end
  end
end

-- One object for each test -------------------------------------------------------------------------------------------

local function fill(fields, defaults)
  local filled = {}
  for key, value in pairs(defaults) do
    filled[key] = value
  end
  for key, value in pairs(fields or {}) do
    filled[key] = value
  end
  return filled
end

local SPAN = { id = "", parent_id = "", service = "service", name = "name", kind = "unspecified", status = "unset",
  status_message = "", start_ns = 0, duration_ms = 1, attributes = {} }
local TRACE = { id = "", source = "test", service = "service", operation = "operation", root_known = true, start = 0,
  start_ns = 0, duration_ms = 10, status = "unset", error_message = "", matched = 0, spans = {}, at = 0 }
local SERIES = { service = "service", operation = "operation", count = 0, errors = 0, buckets = {}, durations_ms = {} }
local WINDOW = { source = "test", from = 0, to = 0, complete = true, estimated = false, reason = "", revision = 0,
  traces = {}, series = {} }

-- Tempo's buckets: upper edges are powers of two of nanoseconds.
local function buckets_of(durations_ms)
  local counts, edges, buckets = {}, {}, {}
  for _, ms in ipairs(durations_ms) do
    local exponent = ms > 0 and ceil(log(ms * 1e6, 2) - 1e-12) or 0
    if not counts[exponent] then
      counts[exponent] = 0
      edges[#edges + 1] = exponent
    end
    counts[exponent] = counts[exponent] + 1
  end
  sort(edges)
  for i, exponent in ipairs(edges) do
    local upper = 2.0 ^ exponent / 1e6
    buckets[i] = { upper / 2, upper, counts[exponent] }
  end
  return buckets
end

local ALERT = { status = "firing", anomaly_type = "high_latency", fingerprint = "00112233445566778899aabbccddeeff",
  service = "checkout", operation = "POST /pay", labels = {}, severity = "warning", summary = "1 trace of checkout POST /pay took longer than 1000 ms",
  detector = "detect", source = "tempo", complete = true, estimated = false, ["repeat"] = false, flapping = false, traces = {},
  why = { detector = "detect", window_secs = 60, complete = true } }
local ALERT_MAY_HAVE = { trace_id = true, span_name = true, duration_ms = true, error_message = true, affected_traces = true,
  total_traces = true, timestamp = true, value = true, threshold = true, window = true, starts_at = true, ends_at = true,
  culprit = true, critical_path = true, likely_cause = true }
for key in pairs(ALERT) do
  ALERT_MAY_HAVE[key] = true
end
local GROUP_MAY_HAVE = { group_labels = true, group_key = true, truncated_alerts = true, group_firing = true, summary = true }

-- What the agent would show the detector of these.
local function wanted(traces, wants)
  local kept = {}
  for _, trace in ipairs(traces) do
    local slow = wants.min_duration_ms >= 0 and trace.duration_ms > wants.min_duration_ms
    if slow or (wants.errors and trace.status == "error") then
      kept[#kept + 1] = trace
    end
  end
  return kept
end

-- A group of host functions (`tempo`, `http`; `source`, which are ctx's own): the test puts answers in, the detector asks.
local function new_answers(group, names)
  local prefix = group == "source" and "" or group .. "."
  local known = {}
  for _, name in ipairs(names) do
    known[name] = true
  end
  local answers = setmetatable({}, {
    __call = function(self, given)
      check_fields("t." .. group, given, known)
      for name, answer in pairs(given) do
        self[name] = answer
      end
    end,
    __newindex = function(self, name, answer)
      check_fields("t." .. group, { [name] = true }, known)
      rawset(self, name, answer)
    end,
  })
  local functions = {}
  for _, name in ipairs(names) do
    functions[name] = host.asking(prefix .. name, function(...)
      local answer = rawget(answers, name)
      if answer == nil then
        error(format("ctx.%s%s was asked, and the test has no answer: t.%s{%s = ...}", prefix, name, group, name), 3)
      elseif type(answer) == "function" then
        return answer(...)
      end
      return host.copy(answer, "t." .. group .. "." .. name)
    end)
  end
  return answers, functions
end

local Detector = {}
Detector.__index = Detector

local function load_into(self, file, state)
  local source = sources[file]
  if not source then
    error(format("there is no '%s' beside the test file", tostring(file)), 3)
  end
  local loaded = host.detector(file, source, self.overrides, state, self.state_version)
  self.file, self.name = file, loaded.name
  self.loaded, self.state, self.state_version = loaded, loaded.state, loaded.state_version
  self.config, self.wants = loaded.config, loaded.wants
end

function Detector:reload(file)
  load_into(self, file or self.file, host.copy(self.state, "state"))
end

function Detector:check(window)
  if type(window) ~= "table" then
    error("check takes a window: t.window{...}", 2)
  end
  local wants = self.loaded.wants
  local seen = host.copy(window, "window")
  seen.traces = wanted(seen.traces or {}, wants)
  seen.series = wants.series and seen.series or {}
  local ctx = host.context()
  ctx.window, ctx.config, ctx.now = host.dress(seen), host.copy(self.loaded.config, "config"), self.clock.now
  ctx.state = host.copy(self.state, "state")
  ctx.tempo, ctx.http = self.clock.tempo, self.clock.http
  ctx.search, ctx.trace = self.clock.source.search, self.clock.source.trace
  self.explained = {}
  host.begin(self.logs, self.explained)
  local ok, findings, reason = pcall(self.loaded.check, ctx)
  local metrics = host.finish()
  if not ok then
    error(findings, 0)
  end
  local judged = host.judge(findings, reason)
  if type(ctx.state) ~= "table" then
    error(format("ctx.state is a %s; it must be a table", type(ctx.state)), 2)
  end
  self.state = host.copy(ctx.state, "state")
  for _, metric in ipairs(metrics) do
    self.metrics[metric.name] = metric.value
  end
  if judged then
    return findings
  end
  return nil, reason
end

local Formatter = {}
Formatter.__index = Formatter

function Formatter:format(alert, config)
  if type(alert) ~= "table" then
    error("format takes an alert: t.alert{...}", 2)
  end
  local text, path = host.body(self.run(host.copy(alert, "alert"), host.copy(config or {}, "config")))
  return json.decode(text) or text, text, path
end

local function new_test()
  local t = {}
  local clock = { now = START }
  local ids = 0

  local function next_id(digits)
    ids = ids + 1
    return format("%0" .. digits .. "x", ids)
  end

  t.tempo, clock.tempo = new_answers("tempo", { "search", "metrics", "trace" })
  t.http, clock.http = new_answers("http", { "get", "post" })
  t.source, clock.source = new_answers("source", { "search", "trace" })
  host.set_now(clock.now)

  function t.now()
    return clock.now
  end

  function t.advance(seconds)
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds < huge) then
      error("t.advance takes a number of seconds", 2)
    end
    clock.now = clock.now + seconds
    host.set_now(clock.now)
  end

  local function new_span(trace, fields)
    check_fields("a span", fields, SPAN)
    local span = fill(fields, SPAN)
    span.id = fields.id or next_id(16)
    span.service = fields.service or trace.service
    span.start_ns = fields.start_ns or trace.start_ns
    span.attributes = fields.attributes or {}
    return span
  end

  function t.trace(fields)
    check_fields("t.trace", fields, TRACE)
    fields = fields or {}
    local trace = fill(fields, TRACE)
    trace.at = nil
    trace.id = fields.id or next_id(32)
    trace.start = fields.start or fields.at or (fields.start_ns and fields.start_ns / 1e9) or clock.now
    trace.start_ns = fields.start_ns or floor(trace.start * 1e6) * 1000
    trace.spans = {}
    for i, span in ipairs(fields.spans or {}) do
      trace.spans[i] = new_span(trace, span)
    end
    trace.matched = fields.matched or #trace.spans
    return trace
  end

  function t.series(fields)
    check_fields("t.series", fields, SERIES)
    fields = fields or {}
    local series = fill(fields, SERIES)
    series.durations_ms = nil
    series.buckets = fields.buckets or {}
    if fields.durations_ms then
      series.buckets = fields.buckets or buckets_of(fields.durations_ms)
      series.count = fields.count or #fields.durations_ms
    end
    return host.dress({ series = { series } }).series[1]
  end

  function t.window(fields)
    check_fields("t.window", fields, WINDOW)
    local window = fill(fields, WINDOW)
    fields = fields or {}
    window.to = fields.to or floor(clock.now)
    window.from = fields.from or window.to - 60
    window.traces, window.series = fields.traces or {}, fields.series or {}
    return window
  end

  function t.detector(file, config)
    if config ~= nil and type(config) ~= "table" then
      error("t.detector takes a file and a table", 2)
    end
    local detector = setmetatable({ overrides = config or {}, clock = clock, metrics = {}, logs = {}, explained = {} }, Detector)
    load_into(detector, file)
    return detector
  end

  function t.alert(fields)
    check_fields("t.alert", fields, ALERT_MAY_HAVE)
    local alert = fill(fields, ALERT)
    local now = floor(clock.now)
    alert.timestamp = alert.timestamp or now
    alert.window = alert.window or { from = now - 60, to = now }
    alert.starts_at = alert.starts_at or os.date("!%Y-%m-%dT%H:%M:%SZ", now - 60)
    return alert
  end

  function t.group(alerts, fields)
    if type(alerts) ~= "table" or type(alerts[1]) ~= "table" then
      error("t.group takes a list of alerts: t.group{ t.alert{...}, ... }", 2)
    end
    check_fields("t.group", fields, GROUP_MAY_HAVE)
    fields = fields or {}
    local group, firing = host.copy(alerts[1], "alerts"), 0
    for _, alert in ipairs(alerts) do
      firing = firing + (alert.status == "firing" and 1 or 0)
    end
    group.alerts, group.firing_alerts, group.resolved_alerts = alerts, firing, #alerts - firing
    group.status = firing > 0 and "firing" or "resolved"
    group.truncated_alerts = fields.truncated_alerts or 0
    group.firing_alerts = group.firing_alerts + group.truncated_alerts
    group.group_firing = fields.group_firing or group.firing_alerts
    group.group_labels, group.group_key = fields.group_labels or {}, fields.group_key or "{}"
    if #alerts + group.truncated_alerts > 1 then
      group.summary = fields.summary or format("%d alerts: %d firing, %d resolved; the worst: %s",
        #alerts + group.truncated_alerts, group.firing_alerts, group.resolved_alerts, group.summary)
    end
    return group
  end

  function t.formatter(file)
    if not sources[file] then
      error(format("there is no '%s' beside the test file", tostring(file)), 2)
    end
    local run, content_type = host.formatter(file, sources[file])
    return setmetatable({ run = run, content_type = content_type }, Formatter)
  end

  function t.equal(got, want, message)
    if not same(got, want, 0) then
      fail(message, format("\n   got: %s\n  want: %s", shown(got), shown(want)))
    end
  end

  function t.near(got, want, tolerance, message)
    if type(got) ~= "number" or type(want) ~= "number" then
      fail(message, format("\n   got: %s\n  want: %s", shown(got), shown(want)))
    end
    tolerance = tolerance or 1e-9 * (want < 0 and -want or want)
    local distance = got < want and want - got or got - want
    if distance > tolerance or distance ~= distance then
      fail(message, format("\n   got: %s\n  want: %s, within %s", shown(got), shown(want), shown(tolerance)))
    end
  end

  function t.truthy(value, message)
    if not value then
      fail(message, "got " .. tostring(value))
    end
  end

  function t.contains(whole, part, message)
    if type(whole) == "string" and find(whole, tostring(part), 1, true) then
      return
    end
    if type(whole) == "table" then
      for _, value in ipairs(whole) do
        if same(value, part, 0) then
          return
        end
      end
    end
    fail(message, format("\n   got: %s\n  want something in it: %s", shown(whole), shown(part)))
  end

  function t.raises(body, text)
    local ok, message = pcall(body)
    if ok then
      fail(nil, "nothing was raised")
    end
    message = tostring(message)
    if text ~= nil and not find(message, text, 1, true) then
      fail(nil, format("\n   raised: %s\n  want in it: %s", shown(message), shown(text)))
    end
    return message
  end

  function t.finding(findings, fields)
    local matches, found = 0, nil
    if type(findings) ~= "table" then
      fail(nil, format("\n   got: %s\n  want findings with: %s", shown(findings), shown(fields)))
    end
    for _, finding in ipairs(findings) do
      local all = true
      for key, value in pairs(fields) do
        all = all and same(finding[key], value, 0)
      end
      if all then
        matches, found = matches + 1, finding
      end
    end
    if matches ~= 1 then
      fail(nil, format("%d findings match\n   got: %s\n  want one with: %s", matches, shown(findings), shown(fields)))
    end
    return found
  end

  return t
end

-- The tests of the file ----------------------------------------------------------------------------------------------

local tests = {}

function test(sentence, body)
  if type(sentence) ~= "string" or type(body) ~= "function" then
    error("test takes a sentence and a function", 2)
  end
  tests[#tests + 1] = { name = sentence, body = body }
end

return tests, function(i)
  tests[i].body(new_test())
end
