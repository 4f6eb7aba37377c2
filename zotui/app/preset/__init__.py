"""A preset before it runs: form, preflight, tuning."""
