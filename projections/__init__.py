"""Pure folds of the event log."""
