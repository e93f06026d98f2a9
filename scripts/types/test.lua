---@meta spanwatch.test
-- What a `*_test.lua` file can see, besides everything in spanwatch.lua. Run them with `spanwatch test FOLDER`.
-- Each test is a sentence and a function. Time stands still until the test moves it; nothing waits.

---@param sentence string What must be true.
---@param body fun(t: spanwatch.Test)
function test(sentence, body) end

---@class spanwatch.Test
local T = {}

---Loads a detector file that lies beside the test file, as the agent would: with its defaults, `config` over them, and
---an empty state. Raises when the agent would refuse it.
---@param file string "detect.lua"
---@param config? table<string, any>
---@return spanwatch.test.Detector
function T.detector(file, config) end

---A trace with every field filled in: a new id, service "service", operation "operation", start at the test's time,
---duration_ms 10, status "unset", no spans. Fields given replace these; spans are filled in likewise. An unknown field
---raises.
---@param fields? table<string, any> Any of spanwatch.Trace; `at` is short for `start`.
---@return spanwatch.Trace
function T.trace(fields) end

---A series with every field filled in: service "service", operation "operation", count 0, errors 0, no buckets.
---`durations_ms` may be given instead of buckets: they become Tempo's buckets, and `count` when that is not given.
---@param fields? table<string, any> Any of spanwatch.Series, and durations_ms.
---@return spanwatch.Series
function T.series(fields) end

---A complete, exact window of the 60 seconds before the test's time. Fields given replace these.
---@param fields? table<string, any> Any of spanwatch.Window.
---@return spanwatch.Window
function T.window(fields) end

---Moves the test's time.
---@param seconds number
function T.advance(seconds) end

---The test's time in unix seconds.
---@return number
function T.now() end

---Answers for ctx.tempo. A function gets the options (for `trace`: the id) and returns what the agent would; anything else is the
---answer itself. A question without an answer raises, naming it. `t.tempo.search = …` sets a single one.
---@param answers {search?: any, metrics?: any, trace?: any}
function T.tempo(answers) end

---Answers for ctx.search and ctx.trace, likewise.
---@param answers {search?: any, trace?: any}
function T.source(answers) end

---Answers for ctx.http, likewise.
---@param answers {get?: any, post?: any}
function T.http(answers) end

---Deep comparison.
---@param got any
---@param want any
---@param message? string
function T.equal(got, want, message) end

---|got - want| <= tolerance (default 1e-9 relative).
---@param got number
---@param want number
---@param tolerance? number
---@param message? string
function T.near(got, want, tolerance, message) end

---@param value any
---@param message? string
function T.truthy(value, message) end

---A text contains another, or a list contains a value (deep comparison).
---@param whole string|any[]
---@param part any
---@param message? string
function T.contains(whole, part, message) end

---The function raises; the message contains `text` when given. Returns the message.
---@param body function
---@param text? string
---@return string message
function T.raises(body, text) end

---Exactly one finding has all these fields (deep comparison). Returns it.
---@param findings spanwatch.Finding[]
---@param fields table<string, any>
---@return spanwatch.Finding
function T.finding(findings, fields) end

---Loads a format that lies beside the test file, as the agent would.
---@param file string "slack.lua"
---@return spanwatch.test.Formatter
function T.formatter(file) end

---A notification with every field that one always has: a warning of type "high_latency" that fires, of service "checkout",
---operation "POST /pay", without traces. Fields given replace these. An unknown field raises.
---@param fields? table<string, any> Any of spanwatch.Notification.
---@return spanwatch.Notification
function T.alert(fields) end

---The notification of several alerts, the worst first, as the agent would make it of these.
---@param alerts spanwatch.Notification[]
---@param fields? {group_labels?: table<string, string>, group_key?: string, truncated_alerts?: integer, group_firing?: integer, summary?: string}
---@return spanwatch.Notification
function T.group(alerts, fields) end

---@class spanwatch.test.Formatter
---@field content_type string
local F = {}

---One call, as the agent makes it. Gives what would be sent, decoded when it is JSON, and as text. Raises what the format
---raises, and when it returned neither a table nor text.
---@param alert spanwatch.Notification
---@param config? spanwatch.FormatConfig
---@return any body
---@return string text
---@return string? path
function F:format(alert, config) end

---@class spanwatch.test.Detector
---@field name string
---@field config table<string, any> The effective configuration.
---@field wants spanwatch.Wants
---@field state table<string, any> The committed state: after a successful check what the next one gets.
---@field metrics table<string, number> What ctx.metric was given last, by name.
---@field explained string[] What `ctx.explain` said in the last check.
---@field logs {level: string, message: string, fields: table<string, string>}[]
local D = {}

---One call, as the agent makes it: of the window's traces the detector sees those that it wants. Gives the findings as the detector returned them, or `nil, reason` when it cannot tell. Raises what the
---detector raises, and when a finding is not one. The state is committed only when it succeeds, through the same
---conversion as in the agent.
---@param window spanwatch.Window
---@return spanwatch.Finding[]? findings
---@return string? reason
function D:check(window) end

---Loads the file again, or another one in its place, with its state, as after a hot swap.
---@param file? string
function D:reload(file) end
