local statistics = require "statistics"

test("running mean and variance are those of the whole sample", function(t)
  local m = statistics.moments()
  t.equal(statistics.variance(m), 0.0)
  for _, x in ipairs { 2, 4, 4, 4, 5, 5, 7, 9 } do
    statistics.add(m, x)
  end
  t.equal(m.count, 8)
  t.near(m.mean, 5)
  t.near(statistics.variance(m), 32 / 7)
end)

test("running variance survives large offsets", function(t)
  local m = statistics.moments()
  for _, x in ipairs { 1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16 } do
    statistics.add(m, x)
  end
  t.near(statistics.variance(m), 30, 1e-6)
end)

test("an ewma starts as a plain mean and then forgets", function(t)
  local e = statistics.ewma()
  statistics.ewma_add(e, 10, 0.1)
  statistics.ewma_add(e, 20, 0.1)
  t.near(e.mean, 15)
  t.near(e.variance, 25)
  for _ = 1, 200 do
    statistics.ewma_add(e, 100, 0.1)
  end
  t.near(e.mean, 100, 0.01)
  t.near(e.variance, 0, 1)
end)

test("a z-score has a floor under the deviation", function(t)
  t.near(statistics.zscore(130, 100, 100, 1), 3)
  t.near(statistics.zscore(130, 100, 0, 10), 3)
end)

test("pushing keeps the last values only", function(t)
  local values = {}
  t.equal(statistics.mean(values), nil)
  for i = 1, 5 do
    statistics.push(values, i, 3)
  end
  t.equal(values, { 3, 4, 5 })
  t.near(statistics.mean(values), 4)
end)

test("a quantile is interpolated within its bucket", function(t)
  local buckets = { { 0, 10, 50 }, { 10, 20, 0 }, { 20, 40, 50 } }
  t.near(statistics.quantile(buckets, 0.25), 5)
  t.near(statistics.quantile(buckets, 0.5), 10)
  t.near(statistics.quantile(buckets, 0.75), 30)
  t.near(statistics.quantile(buckets, 1), 40)
  t.near(statistics.quantile(buckets, 0), 0)
  t.equal(statistics.quantile({}, 0.5), nil)
  t.raises(function() statistics.quantile(buckets, 95) end, "within 0 and 1")
end)

test("the library and a series agree about quantiles", function(t)
  local series = t.series { count = 100, buckets = { { 0, 10, 50 }, { 10, 20, 0 }, { 20, 40, 50 } } }
  for _, p in ipairs { 0.1, 0.5, 0.75, 0.95, 1 } do
    t.near(series:quantile(p), statistics.quantile(series.buckets, p))
  end
end)

test("the share over a limit is exact at the edges", function(t)
  local buckets = { { 0, 10, 50 }, { 10, 20, 25 }, { 20, 40, 25 } }
  t.near(statistics.share_over(buckets, 10), 0.5)
  t.near(statistics.share_over(buckets, 30), 0.125)
  t.near(statistics.share_over(buckets, 40), 0)
  t.equal(statistics.share_over({}, 1), nil)
end)

test("a full table forgets what was seen longest ago", function(t)
  local entries = { a = { seen = 3 }, b = { seen = 1 }, c = { seen = 2 } }
  t.equal(statistics.keep_newest(entries, 3), 0)
  t.equal(statistics.keep_newest(entries, 2), 1)
  t.equal(entries, { a = { seen = 3 }, c = { seen = 2 } })
end)
