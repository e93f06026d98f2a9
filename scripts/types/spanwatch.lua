---@meta spanwatch
-- Everything that a detector can see, for editors (LuaCATS, lua-language-server). Nothing here runs.
-- Set "workspace.library" of your editor to this folder, then `---@type spanwatch.Detector` completes the rest.
--
-- Two rules hold everywhere:
--   * The world's failures return: `value` or `nil, message, code`. Mistakes of the script raise: an unknown key in
--     an options table, a wrong type, a metric name that is none.
--   * Times are unix seconds (with a fraction where that is said), durations are in the unit that the name ends in.

-- What a detector file returns ---------------------------------------------------------------------------------------

---A detector. Its file returns one of these; the agent calls `check` once for each window.
---@class spanwatch.Detector
---@field name? string For people: logs and status show it. The detector's identity is its file name without `.lua`.
---@field every_s? number Time between two calls, in seconds. Default: the agent's interval (TEMPO_ALERT_INTERVAL_SECS).
---@field config? table<string, any> Defaults. The agent's configuration is merged over them; the result is `ctx.config`.
---@field wants? spanwatch.Wants|fun(config: table<string, any>): spanwatch.Wants What it needs to see. Default: nothing but the counts (`series`).
---@field sources? spanwatch.SourceName[] The sources that it is called for. Default: all that are enabled.
---@field source? spanwatch.SourceName The same for one source.
---@field revisions? boolean true: also call it for windows that it judged already and whose counts late spans have changed since. Default false.
---@field state_version? integer Raise it when the shape of `ctx.state` changes. Default 1.
---@field migrate? fun(old: table<string, any>, version: integer): table<string, any> Turns a state of an older version into one of this version. Without it, a state of another version is dropped.
---@field check fun(ctx: spanwatch.Context): spanwatch.Finding[]|nil, string? Findings, `{}` when there is nothing to report; or `nil, "why it cannot tell"`, which resolves nothing.

---Which traces a detector needs to see, in terms that every backend knows. The wants of all detectors become the one
---question of the tick; each detector gets what it wanted.
---@class spanwatch.Wants
---@field min_duration_ms? number Traces that took longer than this. Left out: none for their duration.
---@field errors? boolean Traces with a span of error status. Default false.
---@field series? boolean Counts per service and operation. Default true.

---What `check` gets.
---@class spanwatch.Context
---@field window spanwatch.Window What to judge.
---@field config table<string, any> The detector's `config` with the agent's configuration over it. Read only in spirit: changes are lost after the call.
---@field state table<string, any> A plain table that outlives calls, reloads, crashes and restarts. What a failed call changed is dropped. Text, numbers, booleans and tables of these; keys are text or whole numbers.
---@field now number Unix seconds, with a fraction. In tests and backtests it is the time that these say.
---@field tempo spanwatch.Tempo Further questions to Grafana Tempo alone.
---@field http spanwatch.Http Requests to the hosts that SPANWATCH_HTTP_ALLOWED_HOSTS names.
---@field log spanwatch.Log
local Context = {}

---Sets a gauge on `/metrics`. The label `detector` is added. The value stays until it is set again.
---Raises when the name is not a Prometheus metric name, belongs to the agent, or there are too many.
---@param name string Prometheus metric name, such as "checkout_latency_zscore".
---@param value number
---@param labels? table<string, string>
function Context.metric(name, value, labels) end

---Says why a trace, a service or a window is a finding or is none, for `spanwatch explain`. Does nothing in ordinary calls, so it may stand in
---every branch; in an explanation the arguments become a line as `string.format` makes them.
---@param format string "%s took %g ms, threshold %g ms"
---@param ... any
function Context.explain(format, ...) end

---Traces of which one span fits all terms, on any source: Tempo is asked, spans that were sent are looked up in memory, which
---goes back about five minutes. The traces have the spans that fit (at most 100), and come as in `ctx.window.traces`.
---
---Codes: those of `ctx.tempo.search`; "no_source" when the source is not enabled.
---@param options spanwatch.PortableSearch
---@return spanwatch.SearchResult? result nil on failure
---@return string? message
---@return string? code
function Context.search(options) end

---One trace with all its spans (of spans that were sent: with 1000 at most, first the root and what failed; `matched` is how many there are).
---@param id string 32 hex digits.
---@param source? spanwatch.SourceName Default: the window's.
---@return spanwatch.Trace? trace nil on failure; code "not_found" when there is none
---@return string? message
---@return string? code
function Context.trace(id, source) end

---Terms that every source knows.
---@class spanwatch.PortableSearch
---@field service? string
---@field operation? string The span's name.
---@field status? spanwatch.Status
---@field min_duration_ms? number
---@field max_duration_ms? number
---@field attributes? table<string, string|number|boolean> All of them, each as it was sent: Tempo tells 500 from "500". Each is the span's own or its resource's (`deployment.environment`, `service.version`, `k8s.*`), on every source.
---@field from? integer Unix seconds. Default: Tempo, five minutes before `to`; of spans that were sent, all in memory.
---@field to? integer Unix seconds. Default: the newest.
---@field limit? integer Most traces; 5000 at most. Default: 100 (Tempo: TEMPO_SEARCH_LIMIT). Of spans that were sent an answer has about 1 MiB at most.
---@field source? spanwatch.SourceName Default: the window's.

-- What there is to judge ---------------------------------------------------------------------------------------------

---A stretch of time, [from, to).
---@class spanwatch.Window
---@field source spanwatch.SourceName Where it comes from.
---@field from integer Unix seconds, inclusive.
---@field to integer Unix seconds, exclusive.
---@field complete boolean false: something is missing, `reason` says what. Unknown is not zero: don't conclude anything from what is not there.
---@field estimated boolean true: counts come from search, because the backend cannot count.
---@field reason string Why it is incomplete or estimated; "" otherwise.
---@field revision integer 0 when it is judged for the first time, n when late spans changed its counts n times.
---@field traces spanwatch.Trace[] Traces that the detector wants and that are new, or of which more is known than last time.
---@field series spanwatch.Series[] Counts of the requests that began in this window, per service and operation. Empty when they are not known, or there were none: see `complete`.

---@class spanwatch.Trace
---@field id string 32 lower-case hex digits.
---@field source spanwatch.SourceName
---@field service string Of the root span; when that is not known, of the span that offends.
---@field operation string Name of the root span, or of the span that offends.
---@field root_known boolean Whether `service` and `operation` are the root span's.
---@field start number Unix seconds, with a fraction.
---@field start_ns integer Unix nanoseconds.
---@field duration_ms number Longest known duration: the trace's, or that of one of its spans. 0 when none is known.
---@field status spanwatch.Status "error" when any known span has error status.
---@field error_message string Status message of the failing span nearest the root; "" when there is none.
---@field matched integer How many spans matched the question.
---@field spans spanwatch.Span[] The spans that the backend told, not all of the trace. `ctx.trace(id)` gets all.

---@alias spanwatch.SourceName "tempo"|"otlp"
---@alias spanwatch.Status "unset"|"ok"|"error"
---@alias spanwatch.SpanKind "unspecified"|"internal"|"server"|"client"|"producer"|"consumer"

---@class spanwatch.Span
---@field id string 16 lower-case hex digits.
---@field parent_id string "" when it is the root, or not known.
---@field service string
---@field name string
---@field kind spanwatch.SpanKind
---@field status spanwatch.Status
---@field status_message string
---@field start_ns integer Unix nanoseconds.
---@field duration_ms number -1 when not known.
---@field attributes table<string, string> Those that the backend told, as text: the span's own, and those of a resource only in the answer to a search that names them in `attributes`. Spans that were sent, and those of `ctx.trace`, have all of their own.

---Entry spans (server, consumer, or root) of one service and operation that started in the window.
---@class spanwatch.Series
---@field service string
---@field operation string
---@field count number Requests.
---@field errors number Requests with error status.
---@field buckets spanwatch.Bucket[] Latency histogram, ascending, not cumulative.
local Series = {}

---Latency that a share `p` of the requests stayed under, in milliseconds: linear interpolation within its bucket, so
---no better than the bucket is narrow (Tempo's double in width). nil when there are no requests.
---Raises when `p` is not within 0 and 1.
---@param p number 0.95 for the 95th percentile.
---@return number? ms
function Series:quantile(p) end

---{lower_ms, upper_ms, count}: requests that took longer than lower_ms, and at most upper_ms.
---@class spanwatch.Bucket
---@field [1] number lower_ms
---@field [2] number upper_ms
---@field [3] number count

-- What a detector reports --------------------------------------------------------------------------------------------

---One offence, or one condition. Findings with the same key are one alert; a trace is reported once per `type`,
---however often it is found.
---
---The key is `type`, `service`, `operation` and `labels`, unless the finding names its own (`key`).
---@class spanwatch.Finding
---@field type string The rule: letters, digits and `_ . : -`, beginning with a letter or `_`; at most 128 bytes.
---@field service? string
---@field operation? string
---@field trace? spanwatch.Trace The offending trace. `trace_id` or `traces` do as well.
---@field trace_id? string 32 hex digits.
---@field traces? (spanwatch.Trace|{id: string})[] Several offending traces.
---@field span_name? string
---@field error_message? string
---@field duration_ms? number
---@field value? number What was measured.
---@field threshold? number What it was compared to.
---@field baseline? number What is usual, in the unit of `value`.
---@field baseline_samples? number How many values the baseline was learned from.
---@field affected_traces? number How many traces are affected. Default: how many are named.
---@field total_traces? number Out of how many.
---@field severity? "info"|"warning"|"critical" Default "warning".
---@field summary? string One sentence for people.
---@field labels? table<string, string> Further labels; at most 32.
---@field key? string Identity of the alert instead of service, operation and labels.
---@field for_s? number The condition must hold this long before the alert fires, in seconds. Default 0.
---@field keep_firing_s? number The alert goes on this long after the condition was last seen, in seconds. Default 0.

-- Further questions to the backend -----------------------------------------------------------------------------------

---Questions beyond the window. Each is a request to the backend: use few, and put them behind a condition. Equal
---questions in one tick are asked once. The call waits for the answer; the CPU limit stands still meanwhile. They work
---anywhere: inside pcall, iterators and sort.
---@class spanwatch.Tempo
local Tempo = {}

---Traces that match.
---
---Codes: "timeout", "connect" and "tls" (no connection), "http_400" (bad TraceQL) and other statuses, "broken" (half an answer), "wrong_type"
---(no JSON), "too_large", "busy" (too many questions wait), "usage", "no_source" (there is no Tempo), "dry" (the trial call before a reload asks
---nothing).
---@param options spanwatch.SearchOptions
---@return spanwatch.SearchResult? result nil on failure
---@return string? message
---@return string? code
function Tempo.search(options) end

---Either `q`, or portable terms that every backend knows; not both.
---@class spanwatch.SearchOptions
---@field q? string TraceQL: `{ span.db.system != nil } | count() > 50`.
---@field service? string
---@field operation? string
---@field status? spanwatch.Status
---@field min_duration_ms? number
---@field max_duration_ms? number
---@field attributes? table<string, string|number|boolean> Each is the span's own or its resource's.
---@field from? integer Unix seconds. Default: five minutes before `to`.
---@field to? integer Unix seconds. Default: the newest that Tempo shows.
---@field limit? integer Most traces; 5000 at most. Default: TEMPO_SEARCH_LIMIT.
---@field spss? integer Most spans of each trace; 100 at most, and by default.

---@class spanwatch.SearchResult
---@field traces spanwatch.Trace[]
---@field complete boolean false: there may be more traces than these, or more spans of one of them.

---A TraceQL metrics question. Grafana Tempo 3, or 2.x with local-blocks.
---@param options spanwatch.MetricsOptions
---@return spanwatch.MetricsResult? result nil on failure
---@return string? message
---@return string? code
function Tempo.metrics(options) end

---@class spanwatch.MetricsOptions
---@field q string `{ status = error } | count_over_time() by (resource.service.name)`
---@field from? integer Unix seconds. Default: five minutes before `to`.
---@field to? integer Unix seconds. Default: the newest that Tempo shows.
---@field step_s? integer Seconds per sample. Left out: one sample over all the time.

---@class spanwatch.MetricsResult
---@field series {labels: table<string, string>, samples: {[1]: number, [2]: number}[]}[] Samples are {unix seconds, value}.
---@field complete boolean

---One trace with all its spans.
---@param id string 32 hex digits.
---@return spanwatch.Trace? trace nil on failure; code "not_found" when there is none
---@return string? message
---@return string? code
function Tempo.trace(id) end

---@class spanwatch.Http
local Http = {}

---Any status is an answer; only a request that got none fails. Redirects are not followed.
---
---Codes: "not_allowed" (host not in SPANWATCH_HTTP_ALLOWED_HOSTS), "timeout", "connect", "tls", "too_large" (over 1 MiB), "broken", "not_text" (not UTF-8),
---"usage", "dry".
---@param options spanwatch.HttpOptions
---@return spanwatch.HttpResponse? response nil on failure
---@return string? message
---@return string? code
function Http.get(options) end

---@param options spanwatch.HttpOptions
---@return spanwatch.HttpResponse? response nil on failure
---@return string? message
---@return string? code
function Http.post(options) end

---@class spanwatch.HttpOptions
---@field url string
---@field headers? table<string, string>
---@field body? string
---@field timeout_ms? integer Default 5000.

---@class spanwatch.HttpResponse
---@field status integer
---@field headers table<string, string> `content_type`
---@field body string

---Lines of the agent's log, with the detector's name added.
---@class spanwatch.Log
---@overload fun(message: string, fields?: table<string, string|number|boolean>) Level info.
local Log = {}

---@param message string
---@param fields? table<string, string|number|boolean>
function Log.debug(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.info(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.warn(message, fields) end
---@param message string
---@param fields? table<string, string|number|boolean>
function Log.error(message, fields) end

-- Globals ------------------------------------------------------------------------------------------------------------

-- Detectors have Lua's `string`, `table`, `math`, `utf8`, `coroutine`, `os.time`, `os.date`, `os.clock`, `pcall`, `require` and so on, but
-- nothing that reaches outside: no `io`, no other `os`, no `debug`, no `package`, no bytecode. `require "statistics"` finds
-- scripts/lib/statistics.lua, then statistics.lua beside the detector.

---@class spanwatch.Json
json = {}

---Raises when the value cannot be JSON (functions, NaN, cycles).
---@param value any
---@return string
function json.encode(value) end

---@param text string
---@return any value nil on failure
---@return string? message
function json.decode(text) end

---Only in a configuration file (`--config`): an environment variable, or the default.
---@param name string
---@param default? string
---@return string?
function env(name, default) end
