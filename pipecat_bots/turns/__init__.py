"""End of the user's turn, and everything that shows it: silence, prosody, words."""
