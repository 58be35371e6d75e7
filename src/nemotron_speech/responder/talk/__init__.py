"""The built-in responder's replies: what was asked, and the words that answer it."""
