"""Virtual ToolBench: a server of the RapidAPI tool protocol that replies from a cache, recordings or a simulator."""
