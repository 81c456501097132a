"""Servers that are asked over HTTP: requests, retries, and what they answer when they refuse."""
