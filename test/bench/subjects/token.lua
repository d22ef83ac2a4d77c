-- Client credentials as people write them for nginx: one token for each worker, fetched when there is no valid one.
-- Callers that arrive during the fetch fetch one too.
local json = require 'cjson.safe'

local M = {}
local token, use_until = nil, 0
local form = 'grant_type=client_credentials&client_id=bench&client_secret=secret-of-the-bench&scope=api'

local function fetch(host, port, path)
  local socket = ngx.socket.tcp()
  socket:settimeouts(5000, 5000, 5000)
  local ok, problem = socket:connect(host, port)
  if not ok then return nil, problem end
  socket:send('POST ' .. path .. ' HTTP/1.1\r\nHost: ' .. host .. '\r\nContent-Type: application/x-www-form-urlencoded'
    .. '\r\nContent-Length: ' .. #form .. '\r\n\r\n' .. form)
  local status, length = socket:receive('*l'), 0
  while true do
    local line = socket:receive('*l')
    if not line then return nil, 'broken response' end
    if line == '' then break end
    length = tonumber(line:lower():match('^content%-length:%s*(%d+)')) or length
  end
  local body = socket:receive(length)
  socket:setkeepalive(60000, 4)
  if not status:find(' 200 ', 1, true) then return nil, status end
  return json.decode(body)
end

--- Returns the field value to inject; ends the request with 503 without a token.
function M.get(host, port, path)
  if token and ngx.now() < use_until then return token end
  local answer, problem = fetch(host, port, path)
  if not answer then
    ngx.log(ngx.ERR, 'no token: ', problem)
    return ngx.exit(503)
  end
  token = 'Bearer ' .. answer.access_token
  use_until = ngx.now() + answer.expires_in / 2
  return token
end

return M
