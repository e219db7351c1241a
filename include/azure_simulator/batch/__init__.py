"""Azure Batch: accounts, pools, nodes, jobs and tasks, seen through ARM and through the Batch data plane.

Models hold state and rules (`accounts`, `pools`, `nodes`, `jobs`, `tasks`, `schedules`, `allocation`); the two route
modules parse, call a model and render.
"""
