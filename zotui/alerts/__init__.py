"""Notices: what is worth one, and the channels they are given on."""
