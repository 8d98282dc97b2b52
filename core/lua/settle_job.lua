-- A launcher records what became of a job: launched, then how it ended.
--
-- Only the launcher that holds the job may say so; one that fell silent and whose job was handed
-- on is refused. The outcome becomes the recorded effect of the step in the same call.
--
-- call: id, job, token, type, rest (JSON of the event without step, index and job), final
-- reply: {"appended", version} {"stopping", version} (appended, and a stop was asked for) {"lost"}
local log = open_log(call.id)
local record = log and load_job(call.id, call.job)
if not record or record.token ~= call.token then return reply({ 'lost' }) end

local rest = string.sub(call.rest, 2)
local data = job_json(call.job, record) .. (rest == '}' and '' or ',') .. rest
local stopping = record.state == 'stopping'
record.version = append(log, call.type, data, string.match(call.token, '^(.*)/'), record.version)
if call.final then
  finish_job(log, call.job, record, call.type, data)
else
  record.state = stopping and 'stopping' or 'launched'
  save_job(call.id, call.job, record)
end
close_log(log)
return reply({ stopping and 'stopping' or 'appended', log.version })
