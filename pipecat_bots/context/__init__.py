"""The conversation in writing: the user's words, the assistant's as heard, the window sent to the model."""
