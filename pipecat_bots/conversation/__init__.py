"""Records of a conversation: the words of the user, and those of the bot that were heard."""
