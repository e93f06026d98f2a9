-- Statistics on plain tables, so that they can live in ctx.state: no metatables, nothing that grows.
local statistics = {}

-- Running mean and variance of all values (Welford): statistics.add(m, x) on m = statistics.moments().

---@class statistics.Moments
---@field count integer
---@field mean number
---@field m2 number Sum of squared distances from the mean.

---@return statistics.Moments
function statistics.moments()
  return { count = 0, mean = 0.0, m2 = 0.0 }
end

---@param moments statistics.Moments
---@param value number
function statistics.add(moments, value)
  moments.count = moments.count + 1
  local distance = value - moments.mean
  moments.mean = moments.mean + distance / moments.count
  moments.m2 = moments.m2 + distance * (value - moments.mean)
end

---Variance of the sample; 0 for fewer than two values.
---@param moments statistics.Moments
---@return number
function statistics.variance(moments)
  return moments.count < 2 and 0.0 or moments.m2 / (moments.count - 1)
end

-- Mean and variance that forget: the newest value weighs `alpha`. 2 / (n + 1) is about a window of n values.

---@class statistics.Ewma
---@field count integer
---@field mean number
---@field variance number

---@return statistics.Ewma
function statistics.ewma()
  return { count = 0, mean = 0.0, variance = 0.0 }
end

---@param ewma statistics.Ewma
---@param value number
---@param alpha number Within 0 and 1.
function statistics.ewma_add(ewma, value, alpha)
  ewma.count = ewma.count + 1
  -- While there are few values they weigh the same; else the first one would rule for long.
  local weight = math.max(alpha, 1 / ewma.count)
  local distance = value - ewma.mean
  ewma.mean = ewma.mean + weight * distance
  ewma.variance = (1 - weight) * (ewma.variance + weight * distance * distance)
end

---How many standard deviations a value is above the mean. `floor` is the least deviation assumed: without one, a
---constant history makes every change infinite.
---@param value number
---@param mean number
---@param variance number
---@param floor number Over 0.
---@return number
function statistics.zscore(value, mean, variance, floor)
  return (value - mean) / math.max(math.sqrt(variance), floor)
end

-- The last n values: statistics.push(values, x, n) on values = {}.

---@param values number[]
---@param value number
---@param n integer
function statistics.push(values, value, n)
  values[#values + 1] = value
  while #values > n do
    table.remove(values, 1)
  end
end

---nil when there are none.
---@param values number[]
---@return number?
function statistics.mean(values)
  if #values == 0 then
    return nil
  end
  local sum = 0.0
  for _, value in ipairs(values) do
    sum = sum + value
  end
  return sum / #values
end

-- Histograms: buckets are {lower, upper, count}, ascending.

---Value that a share `p` stays under: linear interpolation within its bucket. nil when the histogram is empty.
---@param buckets spanwatch.Bucket[]
---@param p number Within 0 and 1.
---@return number?
function statistics.quantile(buckets, p)
  assert(p >= 0 and p <= 1, "p must be within 0 and 1")
  local total = 0
  for _, bucket in ipairs(buckets) do
    total = total + bucket[3]
  end
  local rank, before, last = p * total, 0, nil
  for _, bucket in ipairs(buckets) do
    local lower, upper, count = bucket[1], bucket[2], bucket[3]
    if count > 0 then
      last = upper
      if before + count >= rank then
        return lower + (upper - lower) * (rank - before) / count
      end
    end
    before = before + count
  end
  return last
end

---Share of the histogram over `limit`: exact at the edges of buckets, interpolated within one. nil when it is empty.
---@param buckets spanwatch.Bucket[]
---@param limit number
---@return number?
function statistics.share_over(buckets, limit)
  local total, over = 0, 0.0
  for _, bucket in ipairs(buckets) do
    local lower, upper, count = bucket[1], bucket[2], bucket[3]
    total = total + count
    if lower >= limit then
      over = over + count
    elseif upper > limit then
      over = over + count * (upper - limit) / (upper - lower)
    end
  end
  return total > 0 and over / total or nil
end

-- A table of at most n entries, for one statistic per service and operation.

---Removes the entries whose field `seen` is smallest until at most `n` are left. Returns how many were removed.
---@param entries table<string, {seen: number}>
---@param n integer
---@return integer
function statistics.keep_newest(entries, n)
  local keys = {}
  for key in pairs(entries) do
    keys[#keys + 1] = key
  end
  if #keys <= n then
    return 0
  end
  table.sort(keys, function(a, b)
    local x, y = entries[a].seen, entries[b].seen
    return x < y or (x == y and a < b)
  end)
  for i = 1, #keys - n do
    entries[keys[i]] = nil
  end
  return #keys - n
end

return statistics
