"""Runs as they are read: columns, records, exports."""
