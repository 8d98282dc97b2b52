"""What executes a job: one module per runtime, one contract for all."""
