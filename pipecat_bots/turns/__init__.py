"""When the user's turn is over, and everything that shows it: silence, prosody, words."""
