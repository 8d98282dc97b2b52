"""Independent consumers of the log: scheduler, launcher, projector, janitor."""
