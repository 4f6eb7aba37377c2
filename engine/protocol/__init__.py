"""What crosses the pipe: events, commands, findings, figures."""
