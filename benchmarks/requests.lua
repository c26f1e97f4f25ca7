-- wrk sends each proof of a file once: wrk ... -s requests.lua URL -- FILE
local lines, sent = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    lines[#lines + 1] = line
  end
end

function request()
  -- The first line is the Authorization field, which is empty for an open route.
  local headers = {}
  if lines[1] ~= "" then
    headers["Authorization"] = lines[1]
  end
  if #lines > 1 then
    sent = sent + 1
    headers["DPoP"] = lines[1 + sent]
  end
  return wrk.format("GET", nil, headers)
end

function done(summary, latency)
  io.write(string.format("%d %d %d %d\n", summary.requests, summary.duration,
    summary.errors.status, latency:percentile(99)))
end
