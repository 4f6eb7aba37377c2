"""Notices: what is worth one, and the ways they are given."""
