-- Any receiver that takes JSON: the body is a table of the config file, with {field} in its texts filled in.
--
--   detector_config = {
--     ["notify/template"] = {
--       template = { text = "{status} {anomaly_type} of {service}: {summary}", value = "{value}", env = "{labels.env}" },
--     },
--   }
--
-- A text that is one {field} and nothing else becomes that value with its type: a number stays a number, a table a table;
-- without the value the field is left out. Elsewhere what is not there is empty. `resolved` is the table for alerts that are
-- over; without it they use `template` too.

-- The value at "labels.env"; a name of which only the dotted whole is a key is found too.
local function lookup(alert, path)
  local value = alert
  local rest = path
  while rest ~= nil and type(value) == "table" do
    if value[rest] ~= nil then
      return value[rest]
    end
    local key
    key, rest = rest:match("^([^.]+)%.(.+)$")
    value = value[tonumber(key) or key]
  end
  return rest == nil and value or nil
end

local function text_of(value)
  if value == nil then
    return ""
  elseif type(value) == "table" then
    return json.encode(value)
  elseif type(value) == "number" then
    return ("%.15g"):format(value)
  end
  return tostring(value)
end

local function fill(template, alert)
  if type(template) == "table" then
    local filled = {}
    for key, value in pairs(template) do
      filled[key] = fill(value, alert)
    end
    return filled
  elseif type(template) ~= "string" then
    return template
  end
  local whole = template:match("^{([%w_.]+)}$")
  if whole then
    return lookup(alert, whole)
  end
  return (template:gsub("{([%w_.]+)}", function(path)
    return text_of(lookup(alert, path))
  end))
end

return {
  name = "Template",

  format = function(alert, config)
    local template = alert.status == "resolved" and config.resolved or config.template
    if type(template) ~= "table" then
      error('there is no template: detector_config["notify/template"].template of the config file must be a table', 0)
    end
    return fill(template, alert)
  end,
}
