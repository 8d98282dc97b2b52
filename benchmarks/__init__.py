"""What a step, a workflow, a container and a replay cost, measured on real processes.

`bin/bench` runs them; docs/performance.md says what each figure means.
"""
