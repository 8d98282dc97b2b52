-- A step stops one of its agents. Harmless when it has ended.
--
-- call: id, step, index, token, job
-- reply: {"stopped"} {"lost"}
local log = open_log(call.id)
local lease = log and held(call.id, call.step, call.index, call.token)
if not lease then return reply({ 'lost' }) end
local record = load_job(call.id, call.job)
if record then stop_job(log, call.job, record, lease.session) end
close_log(log)
return reply({ 'stopped' })
