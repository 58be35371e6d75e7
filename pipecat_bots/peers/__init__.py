"""The other ends of the bot's connections: kept, missed, called back."""
