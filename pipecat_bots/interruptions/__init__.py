"""Who is heard while the bot speaks, and what becomes of its voice meanwhile."""
