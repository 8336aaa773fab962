"""How well levels are found: rows of tables, summaries, pictures."""
