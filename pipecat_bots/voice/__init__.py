"""What the bot asks its voice for, and what it does when nothing comes."""
