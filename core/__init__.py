"""What a workflow is: events, definition graph, event log on Redis, payloads, settings, errors."""
