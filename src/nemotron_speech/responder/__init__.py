"""A small program that speaks llama.cpp's HTTP protocol and holds a simple, honest conversation.

It is no language model and says so: rules recognise what was asked, and everything it knows about a
conversation comes from the messages of the request.
"""
