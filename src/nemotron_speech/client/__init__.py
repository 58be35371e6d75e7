"""Asyncio clients of the servers, and one spoken turn made of them."""
