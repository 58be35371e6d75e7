"""What is written down: what the user said, and what was heard of the bot."""
