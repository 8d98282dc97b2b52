-- Take workflows of which there is neither log nor archive off a listing.
--
-- Looking and removing are one, so a workflow that is created meanwhile under such an id stays.
--
-- call: part (of the listing's key), ids [id…], dry (only count)
-- reply: number of members without a workflow
local gone = {}
for _, id in ipairs(call.ids) do
  if redis.call('EXISTS', workflow_key(id, 'events'), workflow_key(id, 'meta'), workflow_key(id, 'archived')) == 0 then
    gone[#gone + 1] = id
  end
end
if #gone > 0 and not call.dry then
  redis.call(call.part == 'active' and 'SREM' or 'ZREM', flow_key(call.part), unpack(gone))
end
return reply(#gone)
