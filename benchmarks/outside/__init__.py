"""The bots as a caller hears them, with our own servers and with ones that this project did not write."""
