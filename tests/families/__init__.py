"""Tiny models of the families that people use, and what each runtime makes of them."""
