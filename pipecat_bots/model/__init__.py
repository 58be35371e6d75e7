"""Parts of the language model services."""
