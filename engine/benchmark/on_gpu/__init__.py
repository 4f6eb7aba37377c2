"""Fifteen minutes on a real card: all that can only be learned there, in one command, most important first."""
