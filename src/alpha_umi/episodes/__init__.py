"""Episodes of the sealed world for other libraries: one task with its tools, state and verdict, and the adapters."""
