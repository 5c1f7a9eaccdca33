-- Alertmanager webhooks for wrk. Arguments: key, alerts per webhook, distinct webhooks (0: all).
local head, tail, middle = {}, {}, {}
local key, alerts, distinct, sent = "", 1, 0, 0

function init(args)
  key, alerts, distinct = args[1], tonumber(args[2]), tonumber(args[3])
  math.randomseed(os.time())
  salt = string.format("%x", math.random(0, 0xffffff))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. key
end

local alert = '{"status":"firing","labels":{"alertname":"ModelLatencyHigh","model":"model-%d",' ..
  '"severity":"critical","feature":"f%s","namespace":"serving-prod","cluster":"prod-eu1",' ..
  '"pod":"model-server-7d9f5c6b8-x2x4z","instance":"10.0.12.34:8080","job":"model-serving"},' ..
  '"annotations":{"summary":"p99 latency 612 ms, limit 250 ms","description":"The 99th percentile of ' ..
  'request latency has been above its limit for five minutes in all zones.","runbook_url":' ..
  '"https://baton.example.com/r/ModelLatencyHigh"},"startsAt":"2026-03-12T01:51:00Z",' ..
  '"endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://prometheus.example.com/graph?g0.expr=x",' ..
  '"fingerprint":"%s"}'

function request()
  sent = sent + 1
  local number = distinct > 0 and sent % distinct or sent
  local model = number % 50
  local parts = {}
  for i = 1, alerts do
    local id = string.format("%s%x.%x", salt, number, i)
    parts[i] = string.format(alert, model, id, id)
  end
  local body = '{"version":"4","groupKey":"{}:{g=\\"' .. salt .. number .. '\\"}","truncatedAlerts":0,' ..
    '"status":"firing","receiver":"baton","groupLabels":{},"commonLabels":{},"commonAnnotations":{},' ..
    '"externalURL":"https://alertmanager.example.com","alerts":[' .. table.concat(parts, ",") .. ']}'
  return wrk.format(nil, "/in/alertmanager", nil, body)
end

function done(summary, latency, requests)
  io.write(string.format(
    '\nRESULT {"requests":%d,"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    summary.errors.connect + summary.errors.read + summary.errors.write +
    summary.errors.status + summary.errors.timeout))
end
