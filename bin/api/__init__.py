"""The HTTP API: `agentainer serve`."""
