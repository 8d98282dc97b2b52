-- Delete keys of a workflow of which there is neither log nor archive, and that would stay for ever.
--
-- Looking and deleting are one, so a workflow that is created meanwhile under that id keeps its keys.
-- Keys with a TTL leave by themselves: payloads come before the log that they belong to.
--
-- call: id, parts [part…] ("" is the document), dry (only count)
-- reply: {keys, bytes}
if redis.call('EXISTS', workflow_key(call.id, 'events'), workflow_key(call.id, 'meta'),
  workflow_key(call.id, 'archived')) > 0 then return reply({ 0, 0 }) end
local keys, bytes = 0, 0
for _, part in ipairs(call.parts) do
  local key = workflow_key(call.id, part ~= '' and part or nil)
  if redis.call('PTTL', key) == -1 then
    keys, bytes = keys + 1, bytes + (redis.call('MEMORY', 'USAGE', key) or 0)
    if not call.dry then redis.call('UNLINK', key) end
  end
end
return reply({ keys, bytes })
