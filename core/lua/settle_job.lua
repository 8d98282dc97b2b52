-- A launcher records what became of a job: launched, then how it ended.
--
-- Only the launcher that holds the job may say so; one that fell silent and whose job was handed
-- on is refused. The outcome becomes the recorded effect of the step in the same call. What was
-- recorded is noted among the commands, so a record whose reply was lost is told when it comes again.
--
-- call: id, job, token, type, rest (JSON of the event without step, index and job), final
-- reply: {"appended", version} {"stopping", version} (appended, and a stop was asked for) {"lost"}
local log = open_log(call.id)
local commands = workflow_key(call.id, 'commands')
local command = call.token .. '/' .. call.job .. '/' .. call.type
local first = log and redis.call('HGET', commands, command)
if first then
  local version, word = string.match(first, '^(%d+) (.*)$')
  return reply({ word, tonumber(version) })
end
local record = log and load_job(call.id, call.job)
if not record or record.token ~= call.token then return reply({ 'lost' }) end

local rest = string.sub(call.rest, 2)
local data = job_json(call.job, record) .. (rest == '}' and '' or ',') .. rest
local stopping = record.state == 'stopping'
local word = stopping and 'stopping' or 'appended'
record.version = append(log, call.type, data, string.match(call.token, '^(.*)/'), record.version)
if call.final then
  finish_job(log, call.job, record, call.type, data)
else
  record.state = stopping and 'stopping' or 'launched'
  save_job(call.id, call.job, record)
end
redis.call('HSET', commands, command, log.version .. ' ' .. word)
close_log(log)
return reply({ word, log.version })
