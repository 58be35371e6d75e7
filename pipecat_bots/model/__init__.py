"""What the language model services are made of."""
