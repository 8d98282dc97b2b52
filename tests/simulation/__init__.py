"""The whole system on virtual time under faults that follow from a seed; `bin/simulate` runs it."""
