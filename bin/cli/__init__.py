"""The `agentainer` command."""
