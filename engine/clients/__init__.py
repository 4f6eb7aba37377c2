"""Who watches a run and steers it: pipes, a socket, signals, telemetry, trackers."""
