"""All that happens before step 0: what is checked, decided and loaded."""
