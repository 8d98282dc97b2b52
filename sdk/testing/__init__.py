"""Run workflows in this process: on virtual time, without Redis, containers or threads."""
