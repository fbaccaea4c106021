"""A profiler's trace: recorded, read, and as columns."""
